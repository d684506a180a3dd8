package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"upkeep/internal/fault"
)

// Journal keeps records of orders. What Save and Delete have returned from
// without an error survives every crash; what they were interrupted in is
// there as a whole or not at all.
type Journal interface {
	Load() ([]Record, error) // in any order
	Save(r Record) error     // adds it, or replaces the one of its key
	Delete(key string) error // no error if there is none
}

// reserveSize is set aside on disk so that an answer can be written down on a
// disk that an installation has filled up, in bytes. It holds some answers.
const reserveSize = 256 << 10

// folder is a Journal of one JSON file per order.
type folder struct {
	dir  string
	lock *os.File

	mu sync.Mutex
}

// OpenJournal opens the journal in dir, and makes dir if it is missing. The
// journal has a Close method, which lets another process have it. Errors:
// conflict if another process has it, internal.
func OpenJournal(dir string) (Journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fault.Internal("open the journal", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fault.Internal("open the journal", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fault.Conflict("another agent uses the folder %s", dir)
		}
		return nil, fault.Internal("lock the journal", err)
	}
	j := &folder{dir: dir, lock: lock}
	j.setAside()
	return j, nil
}

// Close lets another process have the journal.
func (j *folder) Close() error { return j.lock.Close() }

// Load reads every record. A file that can't be read is an error: to go on
// without it could do something twice.
func (j *folder) Load() ([]Record, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	files, err := os.ReadDir(j.dir)
	if err != nil {
		return nil, err
	}
	var all []Record
	for _, f := range files {
		name := filepath.Join(j.dir, f.Name())
		if strings.HasSuffix(name, ".tmp") {
			// A write that was cut off; the record before it stands.
			if err := os.Remove(name); err != nil {
				return nil, err
			}
		}
		if !strings.HasSuffix(name, ".json") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var r Record
		if err := json.Unmarshal(text, &r); err != nil {
			return nil, fmt.Errorf("%s is damaged: %w", name, err)
		}
		all = append(all, r)
	}
	return all, nil
}

// Save writes one record.
func (j *folder) Save(r Record) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	err = writeFile(j.file(r.Key), text)
	if errors.Is(err, syscall.ENOSPC) && os.Remove(j.reserve()) == nil {
		return writeFile(j.file(r.Key), text)
	}
	if err == nil {
		j.setAside()
	}
	return err
}

// Delete removes one record.
func (j *folder) Delete(key string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := os.Remove(j.file(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncFolder(j.dir)
}

// file is where the record of a key is kept. Keys are not file names.
func (j *folder) file(key string) string {
	return filepath.Join(j.dir, Hash(key)+".json")
}

func (j *folder) reserve() string { return filepath.Join(j.dir, "reserve") }

// setAside takes the reserve, if it is not taken. Without one the journal
// works as well until the disk is full, so its failure is no error.
func (j *folder) setAside() {
	if _, err := os.Stat(j.reserve()); err == nil {
		return
	}
	if os.WriteFile(j.reserve(), make([]byte, reserveSize), 0o600) != nil {
		_ = os.Remove(j.reserve()) // there was little or nothing of it
	}
}

// Hash turns an order's key into a name for a file.
func Hash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16])
}

// writeFile replaces a file durably, as a whole or not at all.
func writeFile(name string, text []byte) error {
	tmp := name + ".tmp"
	err := func() error {
		f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := f.Write(text); err != nil {
			return err
		}
		return f.Sync()
	}()
	if err == nil {
		err = os.Rename(tmp, name)
	}
	if err != nil {
		_ = os.Remove(tmp) // else the next Load removes it
		return err
	}
	return syncFolder(filepath.Dir(name))
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
