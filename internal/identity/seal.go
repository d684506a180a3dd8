package identity

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"upkeep/internal/fault"
)

// keyBytes is the size of the key file.
const keyBytes = 32

// sealVersion is the first byte of everything sealed, so that another way of
// sealing can follow.
const sealVersion = 1

// Sealer encrypts what the database keeps (AES-256-GCM). A sealed value is
// bound to its name, so that one can't be put in another's place.
type Sealer struct {
	aead cipher.AEAD
	from string // where the key came from, for messages
}

// OpenKey reads the key file, or makes it (0600) if there is none. Servers that
// share a database must share the file. Two that start at once agree on one.
// Invalid: the file is no key, or others may read it.
func OpenKey(path string) (*Sealer, error) {
	key, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeKey(path); err != nil {
			return nil, fault.Internal("make the key file", err)
		}
		key, err = readKey(path)
	}
	if err != nil {
		return nil, fault.Internal("read the key file", err)
	}
	return newSealer([keyBytes]byte(key), path)
}

// NewSealer seals with a key that is kept elsewhere.
func NewSealer(key [keyBytes]byte) (*Sealer, error) { return newSealer(key, "the key given") }

func newSealer(key [keyBytes]byte, from string) (*Sealer, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, fault.Internal("seal", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fault.Internal("seal", err)
	}
	return &Sealer{aead: aead, from: from}, nil
}

// Seal encrypts plain under a name.
func (s *Sealer) Seal(name string, plain []byte) []byte {
	out := make([]byte, 1+s.aead.NonceSize(), 1+s.aead.NonceSize()+len(plain)+s.aead.Overhead())
	out[0] = sealVersion
	rand.Read(out[1:]) // it never fails: crypto/rand ends the program instead
	return s.aead.Seal(out, out[1:], plain, []byte(name))
}

// Open decrypts what Seal made under the same name. Conflict: it was sealed
// with another key, under another name, or was damaged.
func (s *Sealer) Open(name string, sealed []byte) ([]byte, error) {
	head := 1 + s.aead.NonceSize()
	if len(sealed) < head || sealed[0] != sealVersion {
		return nil, fault.Conflict("the secret %q in the database was not sealed by a version that this one knows", name)
	}
	plain, err := s.aead.Open(nil, sealed[1:head], sealed[head:], []byte(name))
	if err != nil {
		return nil, fault.Conflict("the secret %q in the database was sealed with another key than that of %s: "+
			"every server of one database needs the same key file; put the first server's there", name, s.from)
	}
	return plain, nil
}

func readKey(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fault.Invalid(path, "others may read it (mode %04o): it opens every secret in the database; chmod 600 it", info.Mode().Perm())
	}
	if info.Size() != keyBytes {
		return nil, fault.Invalid(path, "a key file has %d bytes, not %d", keyBytes, info.Size())
	}
	key, err := os.ReadFile(path)
	if err == nil && len(key) != keyBytes {
		err = fault.Invalid(path, "a key file has %d bytes, not %d", keyBytes, len(key))
	}
	return key, err
}

// makeKey puts a whole new key at path, or nothing if one is there already: a
// half-written key would be a lost authority.
func makeKey(path string) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".key-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // a spare name of the same file, or a key that nobody uses
	key := make([]byte, keyBytes)
	rand.Read(key) // it never fails: crypto/rand ends the program instead
	_, err = f.Write(key)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
