// Package runbooks_test holds the scripts in hosts to what the runbooks rely on:
// what is not said, or can't be read, never counts as good. That they do well
// with the real things is seen in internal/e2e.
package runbooks_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// standIn answers in place of mariadb, mariadb-dump, rabbitmqctl or ceph.
const standIn = `#!/bin/sh
case "$*" in
*"osd ls-tree"*) echo "$LISTED" ;;
*"tell osd."* | "tell mgr"*) exit "$TOLD" ;;
"tell mon.b"*) printf '%s' "$SAID"; exit "$TOLD" ;;
*) printf '%s' "$SAID"; exit "$ENDED" ;;
esac
`

const (
	galera = "wsrep_cluster_status\tPrimary\nwsrep_cluster_size\t3\nwsrep_local_state_comment\tSynced\nwsrep_ready\tON\nwsrep_connected\tON\n"
	rabbit = `{"running_nodes":["a","b","c"],"partitions":{},"alarms":[],"maintenance_status":{"a":"not under maintenance"}}`
	ceph   = `{"quorum":[0],"monmap":{"num_mons":1},"mgrmap":{"available":true},"osdmap":{"num_osds":3,"num_up_osds":3,"num_in_osds":3},` +
		`"pgmap":{"num_pgs":9,"pgs_by_state":[{"state_name":"active+clean","count":8},{"state_name":"active+clean+scrubbing","count":1}]},` +
		`"health":{"status":"HEALTH_WARN","checks":{"OSDMAP_FLAGS":{}}}}`
	// What a monitor says of itself, and the list of monitors.
	monitor = `{"mons":[{"name":"a"},{"name":"b"}],"state":"peon","quorum":[0,1]}`
	manager = `{"available":true,"active_name":"a","active_gid":4110,"standbys":[]}`
	release = `{"mon":{},"osd":{"ceph version 16.2.15 (618f) pacific (stable)":3}}`
)

// answers are what the things say, and what the scripts make of it.
var answers = []struct {
	script   string
	from, to string // what the answer has in place of what is good
	env      string
	code     int
	says     string
}{
	{"galera-whole 3", "", "", "", 0, "is whole"},
	{"galera-whole 4", "", "", "", 1, "wsrep_cluster_size is 3, must be 4"},
	{"galera-whole 3", galera, "", "", 1, "wsrep_cluster_status is not said"},
	{"galera-whole 3", "wsrep_ready\tON\n", "", "", 1, "wsrep_ready is not said"},
	{"galera-whole 3", "Primary", "non-Primary", "", 1, "is non-Primary, must be Primary"},
	{"galera-whole 3", "Synced", "Donor/Desynced", "", 1, "is Donor/Desynced"},
	{"galera-whole 3", "", "", "ENDED=1", 1, "does not answer"},
	{"galera-whole", "", "", "", 64, "usage"},
	{"galera-whole 0", "", "", "", 64, "usage"},
	{"galera-whole 3 --wait 40m", "", "", "", 64, "usage"},

	{"rabbitmq-whole 3", "", "", "", 0, "is whole"},
	{"rabbitmq-whole 3", rabbit, "", "", 1, "can't be read"},
	{"rabbitmq-whole 3", rabbit, "{}", "", 1, "0 nodes run"},
	{"rabbitmq-whole 3", `,"c"`, "", "", 1, "2 nodes run, must be 3"},
	{"rabbitmq-whole 3", `"partitions":{},`, "", "", 1, "partitions: null"},
	{"rabbitmq-whole 3", `"partitions":{}`, `"partitions":{"a":["b"]}`, "", 1, `partitions: {"a":["b"]}`},
	{"rabbitmq-whole 3", `"alarms":[]`, `"alarms":[{"type":"memory"}]`, "", 1, "memory"},
	{"rabbitmq-whole 3", `"not under`, `"under`, "", 1, "a is under maintenance"},
	{"rabbitmq-whole 3", `"maintenance_status"`, `"more"`, "", 1, "can't be read"},
	{"rabbitmq-whole 3", "", "", "ENDED=69", 1, "does not answer"},
	{"rabbitmq-whole three", "", "", "", 64, "usage"},

	{"ceph-clean", "", "", "", 0, "all OSDs are up"},
	{"ceph-clean", ceph, "", "", 1, "can't be read"},
	{"ceph-clean", ceph, "{}", "", 1, "OSDs up: ? of ?"},
	{"ceph-clean", `"num_up_osds":3`, `"num_up_osds":2`, "", 1, "OSDs up: 2 of 3"},
	{"ceph-clean", `"num_in_osds":3`, `"num_in_osds":2`, "", 1, "OSDs in: 2 of 3"},
	{"ceph-clean", `"quorum":[0]`, `"quorum":[]`, "", 1, "monitors in quorum: 0 of 1"},
	{"ceph-clean", "active+clean+scrubbing", "active+clean+inconsistent", "", 1, "active+clean: 8 of 9"},
	{"ceph-clean", "active+clean+scrubbing", "active+undersized+degraded", "", 1, "active+clean: 8 of 9"},
	{"ceph-clean", `"available":true`, `"available":false`, "", 1, "no manager"},
	{"ceph-clean", "HEALTH_WARN", "HEALTH_ERR", "", 1, "health is HEALTH_ERR"},
	{"ceph-clean", "OSDMAP_FLAGS", "OSD_NEARFULL", "", 1, "OSD_NEARFULL"},
	{"ceph-clean", `"checks"`, `"more"`, "", 1, "can't be read"},
	{"ceph-clean", "", "", "TOLD=124", 1, "osd.7 does not answer"},
	{"ceph-clean", "", "", "LISTED=", 1, "no OSDs of host"},
	{"ceph-clean", "", "", "ENDED=1", 1, "does not answer"},
	{"ceph-clean now", "", "", "", 64, "usage"},

	{"ceph-ok-to-stop", "", "", "", 0, "quorum"},
	{"ceph-ok-to-stop", "", "", "ENDED=16", 16, ""},
	{"ceph-ok-to-stop", "", "", "LISTED=", 1, "no OSDs of host"},
	{"ceph-quorum 2", "", "", "", 0, "all 2 monitors"},
	{"ceph-quorum 3", "", "", "", 1, "there are 2 monitors, must be 3"},
	{"ceph-quorum 2", monitor, "", "", 1, "can't be read"},
	{"ceph-quorum 2", monitor, "{}", "", 1, "can't be read"},
	{"ceph-quorum 2", monitor, `{"mons":[]}`, "", 1, "there are 0 monitors, must be 2"},
	{"ceph-quorum 2", `"peon"`, `"probing"`, "", 1, "mon.b is probing"},
	{"ceph-quorum 2", `"state"`, `"more"`, "", 1, "mon.a is in no state that it says"},
	{"ceph-quorum 2", `[0,1]`, `[0]`, "", 1, "mon.a counts 1 in quorum, must be 2"},
	{"ceph-quorum 2", `"quorum"`, `"more"`, "", 1, "mon.a counts 0 in quorum"},
	{"ceph-quorum 2", `[0,1]`, `7`, "", 1, "mon.a counts 7 in quorum"},
	{"ceph-quorum 2", `[0,1]`, `true`, "", 1, "what mon.b says can't be read"},
	{"ceph-quorum 2", "", "", "TOLD=124", 1, "mon.b does not answer"},
	{"ceph-quorum 2", "", "", "ENDED=1", 1, "the cluster does not answer"},
	{"ceph-quorum", "", "", "", 64, "usage"},
	{"ceph-quorum 0", "", "", "", 64, "usage"},
	{"ceph-quorum 2 --wait 5m", "", "", "", 64, "usage"},

	{"ceph-mgr-available", "", "", "", 0, "a manager is at work"},
	{"ceph-mgr-available", manager, "", "", 1, "can't be read"},
	{"ceph-mgr-available", manager, "{}", "", 1, "no manager is available"},
	{"ceph-mgr-available", "true", "false", "", 1, "no manager is available"},
	{"ceph-mgr-available", "", "", "TOLD=6", 1, "the manager at work does not answer"},
	{"ceph-mgr-available", "", "", "ENDED=1", 1, "the cluster does not answer"},
	{"ceph-mgr-available now", "", "", "", 64, "usage"},

	{"ceph-versions osd pacific", "", "", "", 0, "3 osd: ceph version 16.2.15"},
	{"ceph-versions osd quincy", "", "", "", 1, "not every osd"},
	{"ceph-versions osd pacific", `"osd":{`, `"osd":{"ceph version 16.2.9 (618f) pacific (stable)":1,`, "", 1, "1 osd: ceph version 16.2.9"},
	{"ceph-versions mon pacific", "", "", "", 1, "not every mon"},
	{"ceph-versions mgr pacific", "", "", "", 1, "can't be read"},
	{"ceph-versions osd pacific", release, "", "", 1, "not every osd"},
	{"ceph-versions osd pacific", "", "", "ENDED=1", 1, "the cluster does not answer"},
	{"ceph-versions osd", "", "", "", 64, "usage"},
	{"ceph-versions overall pacific", "", "", "", 64, "usage"},

	{"ceph-noout set", "", "", "", 0, ""},
	{"ceph-noout unset", "", "", "ENDED=1", 1, ""},
	{"ceph-noout", "", "", "", 64, "usage"},

	{"mariadb-copy . write", "", "", "", 1, "the copy is not whole"},
	{"mariadb-copy . write", "", "", "ENDED=2", 2, ""},
	{"mariadb-copy nowhere write", "", "", "", 1, "there is no folder nowhere"},
	{"mariadb-copy . verify", "", "", "", 1, "no copy in . is younger than a day"},
	{"mariadb-copy . verify all", "", "", "", 64, "usage"},
	{"mariadb-copy .", "", "", "", 64, "usage"},
}

func TestScriptsOfHosts(t *testing.T) {
	bin := t.TempDir()
	for _, name := range []string{"mariadb", "mariadb-dump", "rabbitmqctl", "ceph"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(standIn), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range answers {
		words := strings.Fields(c.script)
		said := saidTo(words[0])
		if c.from != "" && !strings.Contains(said, c.from) {
			t.Fatalf("%q is not in %s", c.from, said)
		}
		cmd := exec.Command("./hosts/"+words[0], words[1:]...)
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "LISTED=7", "TOLD=0", "ENDED=0",
			"SAID="+strings.Replace(said, c.from, c.to, 1), c.env)
		out, err := cmd.CombinedOutput()
		code := 0
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			code = exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		if code != c.code || !strings.Contains(string(out), c.says) {
			t.Errorf("%s, with %q for %q and %q, ends with %d: %s\nwant %d and %q", c.script, c.to, c.from, c.env, code, out, c.code, c.says)
		}
	}
}

// saidTo is what the thing that a script asks says when all is well.
func saidTo(script string) string {
	switch {
	case script == "ceph-quorum":
		return monitor
	case script == "ceph-mgr-available":
		return manager
	case script == "ceph-versions":
		return release
	case strings.HasPrefix(script, "ceph-"):
		return ceph
	case strings.HasPrefix(script, "rabbitmq-"):
		return rabbit
	}
	return galera
}
