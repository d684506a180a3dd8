package identity

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"upkeep/internal/fault"
)

func TestSeal(t *testing.T) {
	s, err := NewSealer([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	sealed := s.Seal("a", []byte("hidden"))
	if bytes.Contains(sealed, []byte("hidden")) || bytes.Equal(sealed, s.Seal("a", []byte("hidden"))) {
		t.Error("what is sealed can be read or compared")
	}
	if plain, err := s.Open("a", sealed); err != nil || string(plain) != "hidden" {
		t.Errorf("Open = %q, %v", plain, err)
	}
	if _, err := s.Open("b", sealed); err == nil {
		t.Error("one secret passes for another")
	}
	for i := range sealed {
		damaged := bytes.Clone(sealed)
		damaged[i] ^= 1
		if _, err := s.Open("a", damaged); err == nil {
			t.Errorf("byte %d can be changed", i)
		}
		if _, err := s.Open("a", sealed[:i]); err == nil {
			t.Errorf("it can be cut after %d bytes", i)
		}
	}
}

func TestOpenKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	sealers := make([]*Sealer, 8)
	var all sync.WaitGroup
	for i := range sealers { // servers that start at once
		all.Go(func() {
			var err error
			if sealers[i], err = OpenKey(path); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}
	sealed := sealers[0].Seal("a", []byte("x"))
	for _, s := range sealers {
		if _, err := s.Open("a", sealed); err != nil {
			t.Errorf("two servers made two keys: %v", err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() != 32 {
		t.Errorf("key file: %v, %v", info, err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".key-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}

	// Whoever comes second takes the first one's.
	if err := makeKey(path); err != nil {
		t.Error(err)
	}
	if s, err := OpenKey(path); err != nil {
		t.Error(err)
	} else if _, err := s.Open("a", sealed); err != nil {
		t.Errorf("a key was replaced: %v", err)
	}

	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	_, err = OpenKey(path)
	wantKind(t, err, fault.KindInvalid)
	short := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(short, make([]byte, 31), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = OpenKey(short)
	wantKind(t, err, fault.KindInvalid)
}

func TestWrongKeySaysSo(t *testing.T) {
	dir := t.TempDir()
	a, err := OpenKey(filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := OpenKey(filepath.Join(dir, "b"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, db := t.Context(), open(t)
	if _, err := LoadAuthority(ctx, db, a); err != nil {
		t.Fatal(err)
	}
	_, err = LoadAuthority(ctx, db, b)
	if !fault.Is(err, fault.KindConflict) || !strings.Contains(err.Error(), filepath.Join(dir, "b")) || !strings.Contains(err.Error(), "key file") {
		t.Errorf("with the wrong key: %v", err)
	}
}
