//go:build linux

package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"

	"golang.org/x/sys/unix"
)

// ReadFile reads a file of the server: as the server sees it while it is up,
// from its disk while it is off.
func (s *Server) ReadFile(name string) ([]byte, error) {
	fd, err := s.open(name, unix.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("read %s of %s: %w", name, s.Name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("read %s of %s: %w", name, s.Name, err)
	}
	return text, nil
}

// WriteFile puts a file in place at once, with the folders that it needs. A
// program that runs from an older file of the same name is not disturbed.
func (s *Server) WriteFile(name string, text []byte, mode os.FileMode) error {
	if err := s.writeFile(name, text, mode); err != nil {
		return fmt.Errorf("write %s of %s: %w", name, s.Name, err)
	}
	return nil
}

// Install copies a program of the machine onto the server.
func (s *Server) Install(hostPath, guestPath string) error {
	program, err := os.ReadFile(hostPath)
	if err != nil {
		return fmt.Errorf("install: %w", err)
	}
	return s.WriteFile(guestPath, program, 0o755)
}

// Remove removes a file of the server; one that is not there is no error.
func (s *Server) Remove(name string) error {
	dir, err := s.open(path.Dir(name), unix.O_PATH|unix.O_DIRECTORY)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove %s of %s: %w", name, s.Name, err)
	}
	defer unix.Close(dir)
	if err := unix.Unlinkat(dir, path.Base(name), 0); err != nil && err != unix.ENOENT {
		return fmt.Errorf("remove %s of %s: %w", name, s.Name, err)
	}
	return nil
}

func (s *Server) writeFile(name string, text []byte, mode os.FileMode) error {
	dir, err := s.makeDirs(path.Dir(path.Clean("/" + name)))
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	// Folder and file are named through the descriptor, so no link of the
	// server's leads to a file of the machine.
	folder := "/proc/self/fd/" + strconv.Itoa(dir)
	f, err := os.CreateTemp(folder, ".lab-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Chmod(mode)
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), folder+"/"+path.Base(name))
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// makeDirs opens a folder of the server, made with its parents if missing.
func (s *Server) makeDirs(name string) (int, error) {
	dir, err := s.open(name, unix.O_PATH|unix.O_DIRECTORY)
	if !errors.Is(err, unix.ENOENT) || name == "/" {
		return dir, err
	}
	parent, err := s.makeDirs(path.Dir(name))
	if err != nil {
		return -1, err
	}
	defer unix.Close(parent)
	if err := unix.Mkdirat(parent, path.Base(name), 0o755); err != nil && err != unix.EEXIST {
		return -1, err
	}
	return s.open(name, unix.O_PATH|unix.O_DIRECTORY)
}

// open opens a path of the server. Links in it, absolute ones too, are
// followed within the server's root.
func (s *Server) open(name string, flags uint64) (int, error) {
	top := s.root
	if pid, err := s.running(); err == nil {
		top = fmt.Sprintf("/proc/%d/root", pid) // /run and /dev exist only there
	}
	root, err := unix.Open(top, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(root)
	for {
		fd, err := unix.Openat2(root, path.Clean("/"+name), &unix.OpenHow{
			Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT,
		})
		if err != unix.EINTR && err != unix.EAGAIN { // EAGAIN: a rename beside us
			return fd, err
		}
	}
}
