//go:build linux

package lab

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// rootRecipe makes the root that all servers stand on; a change of its text
// makes a new root. Whatever differs per lab is laid over it.
var rootRecipe = []string{"mmdebstrap", "--variant=apt", "--include=ca-certificates", "bookworm"}

//go:embed init1/*.go
var initSource embed.FS

// Root returns the folder of a plain Debian 12 root. It is built once per
// machine, and must not be written to.
func Root(t testing.TB) string {
	t.Helper()
	root, err := debianRoot(nil, nil)
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	return root
}

// GoBuild builds a program of this module so that it runs on a server.
func GoBuild(t testing.TB, pkg string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), filepath.Base(pkg))
	if err := goBuild(pkg, out); err != nil {
		t.Fatalf("lab: %v", err)
	}
	return out
}

// cacheDir returns a folder of the cache, made if it is missing.
func cacheDir(name string) (string, error) {
	base := os.Getenv("UPKEEP_CACHE")
	if base == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find cache: %w", err)
		}
		base = filepath.Join(user, "upkeep")
	}
	base, err := filepath.Abs(base)
	if err != nil {
		return "", fmt.Errorf("find cache: %w", err)
	}
	if strings.ContainsAny(base, ":,\\") { // they part the options of an overlay mount
		return "", fmt.Errorf("cache folder %q: an overlay can't be there", base)
	}
	dir := filepath.Join(base, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make cache: %w", err)
	}
	return dir, nil
}

// debianRoot returns the folder of a Debian root with these packages besides,
// which have their questions answered. There is one root for each list.
// mmdebstrap leaves out what is only recommended, starts no services and has
// debconf ask nobody.
func debianRoot(packages, answers []string) (string, error) {
	recipe := slices.Clone(rootRecipe)
	if len(answers) > 0 {
		recipe = slices.Insert(recipe, 1, "--essential-hook=chroot \"$1\" debconf-set-selections <<'END'\n"+strings.Join(answers, "\n")+"\nEND")
	}
	if len(packages) > 0 {
		recipe = slices.Insert(recipe, 1, "--include="+strings.Join(packages, ","))
	}
	return cached("roots", key([]byte(strings.Join(recipe, "\n"))), func(out string) error {
		if os.Getuid() != 0 {
			return fmt.Errorf("needs root")
		}
		args := append(aptOptions(), recipe[1:]...)
		args = append(args, out)
		if sources := ownSources(); sources != "" {
			args = append(args, sources)
		}
		return run(exec.Command(recipe[0], args...))
	})
}

var cachedInit = sync.OnceValues(func() (string, error) {
	var source []byte
	err := fs.WalkDir(initSource, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := initSource.ReadFile(path)
		source = append(append(source, path...), text...)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read init1: %w", err)
	}
	return cached("bin", "lab-init-"+key(source), func(out string) error {
		return goBuild("upkeep/internal/lab/init1", out)
	})
})

// cached returns the path of a cached thing. Of all processes that want it
// one makes it, and none ever sees a half-made one.
func cached(kind, name string, build func(out string) error) (string, error) {
	dir, err := cacheDir(kind)
	if err != nil {
		return "", err
	}
	unlock, err := lockFile(filepath.Join(dir, name+".lock"), unix.LOCK_EX)
	if err != nil {
		return "", err
	}
	defer unlock()
	done := filepath.Join(dir, name)
	if _, err := os.Stat(done); err == nil {
		return done, nil
	}
	part := done + ".part"
	if err := os.RemoveAll(part); err != nil {
		return "", fmt.Errorf("remove a half-made %s: %w", kind, err)
	}
	if err := build(part); err != nil {
		return "", fmt.Errorf("build %s: %w", kind, err)
	}
	if err := os.Rename(part, done); err != nil {
		return "", fmt.Errorf("keep %s: %w", kind, err)
	}
	return done, nil
}

// lockFile takes a lock that the kernel gives back when this process ends.
func lockFile(path string, how int) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	for {
		err = unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}

// ownSources returns the machine's own apt sources if they are of the release
// that is built, so that the mirror is the one it is set up with.
func ownSources() string {
	for _, path := range []string{"/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"} {
		text, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(text), "bookworm") {
			return path
		}
	}
	return ""
}

// aptOptions hands on what the machine's apt needs to reach its mirror: a
// proxy, or leniency with the dates of a snapshot.
func aptOptions() []string {
	dump, err := exec.Command("apt-config", "dump").Output()
	if err != nil {
		return nil // not a Debian host, or none configured: the defaults may do
	}
	var options []string
	for line := range strings.Lines(string(dump)) {
		for _, prefix := range []string{"Acquire::http::Proxy ", "Acquire::https::Proxy ", "Acquire::Check-"} {
			if strings.HasPrefix(line, prefix) {
				options = append(options, "--aptopt="+strings.TrimSpace(line))
			}
		}
	}
	return options
}

func goBuild(pkg, out string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	return run(cmd)
}

func run(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return nil
}

func key(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}
