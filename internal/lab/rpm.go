//go:build linux

package lab

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

//go:embed rpm/publish.sh
var rpmPublish []byte

// rpmRecipes make the roots with a package manager for rpm. Debian's packages of
// dnf's plugins and of zypper exclude each other.
var rpmRecipes = map[string]string{
	"dnf":    "--include=dnf,dnf-plugins-core,rpm,createrepo-c",
	"zypper": "--include=zypper,rpm,createrepo-c",
}

// RPMRoot returns the folder of a Debian 12 root with the real dnf or zypper, and
// the real rpm. It has a repository of small packages in two versions, of which
// the first are installed (rpm/publish.sh), and nothing else in rpm's database.
// It is built once per machine, and must not be written to.
func RPMRoot(t testing.TB, tool string) string {
	t.Helper()
	include, ok := rpmRecipes[tool]
	if !ok {
		t.Fatalf("lab: no root with %q", tool)
	}
	root, err := cached("roots", key(append([]byte(include), rpmPublish...)), func(out string) error {
		if os.Getuid() != 0 {
			return fmt.Errorf("needs root")
		}
		args := append(aptOptions(), "--variant=apt", include, "bookworm", out)
		if sources := ownSources(); sources != "" {
			args = append(args, sources)
		}
		if err := run(exec.Command("mmdebstrap", args...)); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(out, "publish.sh"), rpmPublish, 0o700); err != nil {
			return err
		}
		return run(enter(out, "sh", "/publish.sh", tool))
	})
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	return root
}

// enter is a command in a root, with processes of its own, that ends with us.
func enter(root string, argv ...string) *exec.Cmd {
	cmd := exec.Command("unshare", append([]string{"--mount", "--pid", "--fork", "--kill-child", "--root", root, "--mount-proc"}, argv...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	return cmd
}

// layered lays a folder in memory over the root $1, puts the program $2 into it
// and runs what follows there. The mounts are its own and go with it.
const layered = `set -e
dir=$3
mount -t tmpfs tmpfs "$dir"
mkdir "$dir/upper" "$dir/work" "$dir/root"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$dir/upper,workdir=$dir/work" "$dir/root"
cp "$2" "$dir/root/test"
shift 3
exec unshare --pid --fork --kill-child --root "$dir/root" --mount-proc /test "$@"`

// InRoot runs one test of this test binary in a layer over a root, with these
// words added to its environment, and shows what it prints. The root stays as
// it is.
func InRoot(t testing.TB, root, test string, environment ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--kill-child", "sh", "-c", layered, "sh",
		root, os.Args[0], t.TempDir(), "-test.v", "-test.run", "^"+test+"$")
	cmd.Env = append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, environment...)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("lab: %s in a root: %v", test, err)
	}
}
