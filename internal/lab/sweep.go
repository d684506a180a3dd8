//go:build linux

package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// sweep removes the labs whose process is gone: it held a lock while it lived.
func sweep(labs string) error {
	dirs, err := filepath.Glob(filepath.Join(labs, "lab-*"))
	if err != nil {
		return fmt.Errorf("list labs: %w", err)
	}
	for _, dir := range dirs {
		unlock, err := lockFile(filepath.Join(dir, "lock"), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			continue
		}
		if err != nil {
			return err
		}
		err = remove(dir)
		unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// remove removes the lab's control groups, unmounts all that is under dir, then
// removes it. As long as anything
// is mounted there it removes nothing.
func remove(dir string) error {
	if err := removeGroup(groupOf(dir)); err != nil {
		return err
	}
	points, err := mountsUnder(dir)
	if err != nil {
		return err
	}
	slices.Reverse(points) // later ones lie over earlier ones
	for _, point := range points {
		// Detach: a process that is about to die may still stand in it.
		if err := unix.Unmount(point, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", point, err)
		}
	}
	if points, err = mountsUnder(dir); err != nil {
		return err
	}
	if len(points) > 0 {
		return fmt.Errorf("remove %s: still mounted: %q", dir, points)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove lab: %w", err)
	}
	return nil
}

func mountsUnder(dir string) ([]string, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	var points []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			points = append(points, fields[4])
		}
	}
	return points, nil
}
