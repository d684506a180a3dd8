//go:build unix

package sqlite

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"upkeep/internal/fault"
)

// lock says that this process has the database open. The kernel holds it for
// the open file, so that it ends with the process however that ends; what is
// written in the file is for people only.
type lock struct{ file *os.File }

func takeLock(path string) (lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return lock{}, fault.Unavailable("lock the database", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		text, _ := io.ReadAll(io.LimitReader(f, 200))
		_ = f.Close()
		who := strings.TrimSpace(string(text))
		if who == "" {
			who = "another process"
		}
		return lock{}, fault.Conflict("%s has the database open (%s); stop it first, or use PostgreSQL to run several", who, path)
	}
	if err != nil {
		_ = f.Close()
		return lock{}, fault.Unavailable("lock the database", err)
	}
	host, _ := os.Hostname()
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprintf(f, "process %d on %s\n", os.Getpid(), host)
	}
	return lock{f}, nil
}

// release gives the database to others. The file stays: removing it would let
// two processes lock two files of the same name.
func (l lock) release() error {
	_ = l.file.Truncate(0)
	return l.file.Close()
}
