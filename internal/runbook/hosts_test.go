package runbook_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestHostScripts runs the scripts of runbooks/hosts with stand-ins for the
// programs that they call. A stand-in writes down what it is asked, and answers
// as its script says; which questions are asked, and in which order, is told here.
func TestHostScripts(t *testing.T) {
	const (
		mgrs  = `case "$*" in *"mgr dump"*) cat map;; *daemon*) cat own;; esac`
		asks  = "ceph --connect-timeout 10 mgr dump -f json\nceph tell mgr version\nceph daemon mgr.ctl-1 status"
		oc    = "openstack "
		hosts = `case "$*" in "compute service list"*) echo "cmp1 up"; echo "cmp2 up";; "server list"*) cat left;; *migrate*) test ! -e stuck || exit 1; : >left;; *create*) cat status;; esac`
		run   = "docker run --rm --network host -v /etc/kolla/keystone:/etc/keystone:ro -v keystone_fernet_tokens:/etc/keystone/fernet-keys repo@sha256:1 keystone-manage "
	)
	for _, c := range []struct {
		name, args string
		files      map[string]string // of the folder that everything is run in
		program    string            // whose stand-in it is
		answers    string            // its script
		code       int
		says, asks string
	}{

		{"hypervisor", "others cmp1", nil, "openstack", hosts, 0, "", oc + "compute service list --service nova-compute -f value -c Host -c State"},
		{"hypervisor", "others cmp1", nil, "openstack", `echo "cmp1 up"; echo "cmp2 down"`, 1, "cmp2 is down", ""},
		{"hypervisor", "others cmp9", nil, "openstack", hosts, 1, "cmp9 is no hypervisor", ""},
		{"hypervisor", "disable cmp1", nil, "openstack", "", 0, "", oc + "compute service set --disable --disable-reason upkeep run-1 cmp1 nova-compute"},
		{"hypervisor", "migrate cmp1", map[string]string{"left": "i1\ni2\n"}, "openstack", hosts, 0, "moving i2",
			oc + "server list --all-projects --host cmp1 -f value -c ID\n" + oc + "server migrate --live-migration --wait i1\n" + oc + "server migrate --live-migration --wait i2"},
		// What does not move does not stop the others; that it is there still is looked for.
		{"hypervisor", "migrate cmp1", map[string]string{"left": "i1\ni2\n", "stuck": ""}, "openstack", hosts, 0, "i1 did not move", ""},
		{"hypervisor", "empty cmp1", map[string]string{"left": "i1\n"}, "openstack", hosts, 1, "still there: i1", ""},
		{"hypervisor", "empty cmp1", map[string]string{"left": ""}, "openstack", hosts, 0, "", oc + "server list --all-projects --host cmp1 -f value -c ID"},
		{"hypervisor", "empty cmp1", nil, "openstack", "exit 1", 1, "", ""}, // who can't tell is not empty
		{"hypervisor", "up cmp1", nil, "openstack", hosts, 0, "cmp1 is up", ""},
		{"hypervisor", "up cmp9", nil, "openstack", hosts, 1, "", ""},
		{"hypervisor", "canary cmp1", map[string]string{"status": "ACTIVE\n"}, "openstack", hosts, 0, "ACTIVE",
			oc + "--os-compute-api-version 2.74 server create --wait --host cmp1 --flavor small --image cirros --network test -f value -c status upkeep-canary-cmp1\n" +
				oc + "server delete --wait upkeep-canary-cmp1"},
		{"hypervisor", "canary cmp1", map[string]string{"status": "ERROR\n"}, "openstack", hosts, 1, "ERROR", ""},
		{"hypervisor", "enable cmp1", nil, "openstack", "", 0, "", oc + "compute service set --enable cmp1 nova-compute"},

		{"keystone-container", "repo expand sha256:1", nil, "docker", "", 0, "", run + "db_sync --expand"},
		{"keystone-container", "repo expanded sha256:1", nil, "docker", "exit 4", 0, "", run + "db_sync --check"},
		{"keystone-container", "repo expanded sha256:1", nil, "docker", "", 0, "", ""},
		{"keystone-container", "repo expanded sha256:1", nil, "docker", "exit 2", 1, "ended with 2", ""},
		{"keystone-container", "repo contract sha256:1", nil, "docker", "", 0, "", run + "db_sync --contract"},
		{"keystone-container", "repo contracted sha256:1", nil, "docker", "exit 4", 1, "ended with 4", ""},
		{"keystone-container", "repo recreate sha256:1", nil, "docker", `test "$1" != container`, 0, "",
			"docker pull --quiet repo@sha256:1\ndocker container inspect keystone-before\ndocker stop -t 60 keystone\ndocker rename keystone keystone-before\ndocker rm -f keystone\n" +
				"docker run -d --name keystone --network host --restart unless-stopped -v /etc/kolla/keystone:/etc/keystone:ro -v keystone_fernet_tokens:/etc/keystone/fernet-keys repo@sha256:1\ndocker rm keystone-before"},
		// Cut off after the former one was put aside, it is done again from there.
		{"keystone-container", "repo recreate sha256:1", nil, "docker", "", 0, "",
			"docker pull --quiet repo@sha256:1\ndocker container inspect keystone-before\ndocker rm -f keystone\n" +
				"docker run -d --name keystone --network host --restart unless-stopped -v /etc/kolla/keystone:/etc/keystone:ro -v keystone_fernet_tokens:/etc/keystone/fernet-keys repo@sha256:1\ndocker rm keystone-before"},
		{"keystone-container", "repo recreate sha256:1", nil, "docker", `test "$1" != run`, 1, "the former one runs again", ""},

		{"reboot-if-required", "", nil, "systemd-run", "", 0, "no restart is required", " "},
		{"reboot-if-required", "", map[string]string{"run/reboot-required": ""}, "systemd-run", "", 0, "this boot is boot-1",
			"systemd-run --quiet --on-active=5s --timer-property=AccuracySec=1s systemctl reboot"},
		{"reboot-if-required", "--done", map[string]string{"asked": "boot-1\n"}, "systemd-run", "", 1, "still runs the boot boot-1", " "},
		{"reboot-if-required", "--done", map[string]string{"asked": "boot-0\n"}, "systemd-run", "", 0, "runs the boot boot-1", " "},
		{"reboot-if-required", "--done", map[string]string{"asked": "boot-0\n", "run/reboot-required": ""}, "systemd-run", "", 1, "a restart is required", " "},
		{"reboot-if-required", "--done", nil, "systemd-run", "", 0, "", " "},

		{"ceph-mgr-available", "", managers(`{"inst":{"name":{"num":7}}}`), "ceph", mgrs, 0, "", asks},
		{"ceph-mgr-available", "", managers(`{"inst":{"name":{"num":8}}}`), "ceph", mgrs, 0, "", asks},
		{"ceph-mgr-available", "", managers(`{"inst":{"name":{"num":6}}}`), "ceph", mgrs, 1, "does not know mgr.ctl-1 as it runs now", asks},
		{"ceph-mgr-available", "", managers(`{"inst":{}}`), "ceph", mgrs, 1, "does not know mgr.ctl-1 as it runs now", asks},
		{"ceph-mgr-available", "", managers(``), "ceph", mgrs, 1, "does not know mgr.ctl-1 as it runs now", asks},
		{"ceph-mgr-available", "", managers(``), "ceph", mgrs + `; [ "$1" != daemon ]`, 1, "mgr.ctl-1 does not answer", asks},
	} {
		code, said, asked := runScript(t, c.name, c.args, c.files, c.program, c.answers)
		if code != c.code || !strings.Contains(said, c.says) || c.asks != "" && asked != strings.TrimSpace(c.asks) {
			t.Errorf("%s %s, %q: it ends with %d and says %q; it asked\n%s\nwant\n%s", c.name, c.args, c.answers, code, said, asked, c.asks)
		}
	}
}

func runScript(t *testing.T, name, args string, files map[string]string, program, answers string) (code int, said, asked string) {
	t.Helper()
	dir := t.TempDir()
	script, err := filepath.Abs("../../runbooks/hosts/" + name)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write("proc/sys/kernel/random/boot_id", "boot-1\n")
	write("credentials", "CANARY_FLAVOR=small\nCANARY_IMAGE=cirros\nCANARY_NETWORK=test\n")
	write("bin/"+program, "#!/bin/sh\nprintf '%s\\n' \""+program+" $*\" >>questions\n"+answers+"\n")
	for name, text := range files {
		write(name, text)
	}
	cmd := exec.CommandContext(t.Context(), script, strings.Fields(args)...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + dir + "/bin:/usr/bin:/bin", "ROOT=" + dir, "NOTE=" + dir + "/asked", "CREDENTIALS=" + dir + "/credentials", "UPKEEP_RUN=run-1"}
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "questions"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out), strings.TrimSpace(string(text))
}

// managers is a host with the manager ctl-1, which says this of itself. The
// cluster knows it by the number 7 at work, and by 8 standing by.
func managers(own string) map[string]string {
	return map[string]string{
		"var/lib/ceph/mgr/ceph-ctl-1/keyring": "", "own": own,
		"map": `{"available":true,"active_name":"ctl-1","active_gid":7,"standbys":[{"name":"ctl-1","gid":8},{"name":"ctl-2","gid":6}]}`,
	}
}
