//go:build linux && e2e

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"upkeep/internal/lab"
)

// The image that Keystone runs, and the one that it is upgraded to.
const (
	oldImage = "sha256:0000000000000000000000000000000000000000000000000000000000000001"
	newImage = "sha256:0000000000000000000000000000000000000000000000000000000000000002"
)

// docker stands in for the real one, for the lab has no containers: what is in
// both images is the Keystone of the server. It knows what keystone-container
// asks, word for word, keeps which container is there and of which image, and
// refuses all else. What it runs, stops and starts is the real Keystone.
const docker = `#!/bin/sh
set -eu
state=/var/lib/docker-stand-in
new=registry.example/keystone@` + newImage + `
mounts="-v /etc/kolla/keystone:/etc/keystone:ro -v keystone_fernet_tokens:/etc/keystone/fernet-keys"
echo "$*" >> /var/log/docker
case "$*" in
"run --rm --network host $mounts $new keystone-manage "*)
	shift 9
	exec runuser -u keystone -- "$@"
	;;
"pull --quiet $new") ;;
"container inspect keystone-before") test -e $state/keystone-before ;;
"stop -t 60 keystone")
	pid=$(cat /run/keystone.pid)
	kill -TERM "$pid" && while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
	rm -f /run/keystone.pid
	;;
"rename keystone keystone-before") mv $state/keystone $state/keystone-before ;;
"rm -f keystone")
	test ! -e /run/keystone.pid || exit 70
	rm -f $state/keystone
	;;
"run -d --name keystone --network host --restart unless-stopped $mounts $new")
	echo "$new" > $state/keystone
	exec /usr/local/bin/restart-keystone
	;;
"rm keystone-before") rm $state/keystone-before ;;
*)
	echo "stand-in for docker: asked for: $*" >&2
	exit 64
	;;
esac
`

// formerSchema makes the database as the release before Yoga left it, with the
// migrations of that time that Keystone still brings: an upgrade has something
// to do then, if little. Told to sync as it is, Keystone would do all at once.
const formerSchema = `
import keystone.conf
from keystone.common import sql
from keystone.common.sql import upgrades
from migrate.versioning import api
keystone.conf.configure()
keystone.conf.CONF([], project="keystone", default_config_files=["` + keystoneCNF + `"])
with sql.session_for_write() as session:
    engine = session.get_bind()
for branch in ("expand", "data_migration", "contract"):
    repository = upgrades._find_migrate_repo(branch)
    api.version_control(engine, repository, upgrades.MIGRATE_INIT_VERSION)
    api.upgrade(engine, repository, 78)
`

// upgrade upgrades Keystone by the shipped runbook, with the shipped scripts. Of
// Keystone only one version is to be had here: the programs are the same before
// and after, and the schema is an older one's. The soak takes seconds instead of
// an hour. The copy that comes first fails once: nothing is touched then.
func (r *region) upgrade(m *mix) {
	r.t.Helper()
	first := r.nodes[0]
	r.prepareUpgrade()
	before := restarts(r.t, r.nodes)
	upgraded := m.during(r.t, func() {
		var run runOf
		said := r.upkeep("roll", "keystone", "keystone-upgrade", "--param", "image="+newImage, "--duration", "12h", "--reason", "PCO-1982", "-o", "json")
		if err := json.Unmarshal([]byte(said), &run); err != nil {
			r.t.Fatal(err)
		}
		defer func() { r.t.Log("\n" + r.p.story(run.ID)) }()
		poll(r.t, time.Minute, "the run to halt", func() bool { return r.p.halted(run.ID) != "" })
		r.untouched(r.p.halted(run.ID), before)

		write(r.t, first, "/root/.my.cnf", "[client]\nhost = 10.77.1.4\nuser = keystone\npassword = kspw\n", 0o600)
		r.upkeep("resume", "keystone")
		step := r.waitsForApproval(run.ID)
		r.schemaIs(4) // expanded, and not contracted
		for _, s := range r.nodes {
			if image := must(r.t, s, "cat", "/var/lib/docker-stand-in/keystone"); !strings.HasSuffix(image, newImage) {
				r.t.Errorf("before the contraction %s runs %s", s.Name, image)
			}
		}
		r.upkeep("approve", "keystone", step)
		if ended := r.p.waitRun(run.ID, time.Minute); ended.State != "succeeded" {
			r.t.Errorf("the upgrade has %s: %s", ended.State, ended.Result.Text)
		}
	})
	r.t.Logf("upgrade: %s", upgraded)
	if upgraded.failed+upgraded.unanswered > 0 || upgraded.sent == 0 {
		r.t.Errorf("upgrade: %s", upgraded)
	}
	r.schemaIs(0)
	oneByOne(r.t, r.nodes, before)
	r.t.Log(must(r.t, first, "/usr/local/sbin/mariadb-copy", "/mnt/copies", "verify"))
}

// prepareUpgrade gives the nodes what their owners would, but for the database's
// password.
func (r *region) prepareUpgrade() {
	r.t.Helper()
	for _, s := range r.nodes {
		write(r.t, s, "/usr/bin/docker", docker, 0o755)
		write(r.t, s, "/var/lib/docker-stand-in/keystone", "registry.example/keystone@"+oldImage+"\n", 0o644)
		write(r.t, s, "/mnt/copies/.keep", "", 0o644)
		write(r.t, s, "/root/.my.cnf", "[client]\nhost = 10.77.1.4\nuser = keystone\npassword = forgotten\n", 0o600)
	}
	r.upkeep("apply", "-f", hurried(r.t, "keystone-upgrade", "soak: 1h", "soak: 5s"))
	r.schemaIs(2)
}

// hurried is a file with a shipped runbook that waits less, and is the same
// otherwise.
func hurried(t testing.TB, book, long, short string) (file string) {
	t.Helper()
	text, err := os.ReadFile("../../runbooks/" + book + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), long) != 1 {
		t.Fatalf("%s does not say %q once", book, long)
	}
	file = filepath.Join(t.TempDir(), book+".yaml")
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), long, short, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// untouched: the copy has failed, and that is all that has happened.
func (r *region) untouched(halt string, before []int) {
	r.t.Helper()
	if !strings.Contains(halt, "copy") || !strings.Contains(halt, "Access denied") || !strings.Contains(halt, "resume") {
		r.t.Errorf("without a copy it says %q", halt)
	}
	r.schemaIs(2)
	if after := restarts(r.t, r.nodes); !slices.Equal(after, before) {
		r.t.Errorf("without a copy somebody was restarted: %v, before %v", after, before)
	}
	for _, s := range r.nodes {
		if asked, err := s.ReadFile("/var/log/docker"); err == nil {
			r.t.Errorf("without a copy docker was asked on %s: %s", s.Name, asked)
		}
	}
	if copies := must(r.t, r.nodes[0], "find", "/mnt/copies", "-name", "*.sql.gz"); copies != "" {
		r.t.Errorf("a copy that failed is there: %s", copies)
	}
}

// waitsForApproval waits until all but the contraction is done, and returns the
// step that a person is told to approve.
func (r *region) waitsForApproval(run string) (step string) {
	r.t.Helper()
	line := regexp.MustCompile(`"upkeep approve keystone (\S*contract\S*)" lets it begin; nothing leads back`)
	poll(r.t, 3*time.Minute, "the contraction to wait for a person", func() bool {
		if halt := r.p.halted(run); halt != "" {
			r.t.Fatal(halt)
		}
		var asked struct{ Waits []struct{ Code, Step string } }
		r.p.call("GET", "/v1/runs/"+run, nil, &asked)
		if len(asked.Waits) == 0 || !strings.Contains(asked.Waits[0].Step, "contract.") {
			return false
		}
		if found := line.FindStringSubmatch(r.upkeep("why", "keystone")); found != nil {
			step = found[1]
		}
		return step != ""
	})
	return step
}

// schemaIs asks Keystone how far its schema is: 0 all is done, 2 to be expanded,
// 4 to be contracted.
func (r *region) schemaIs(want int) {
	r.t.Helper()
	out, err := r.nodes[0].Exec("runuser", "-u", "keystone", "--", "keystone-manage", "db_sync", "--check")
	if lab.ExitCode(err) != want {
		r.t.Errorf("db_sync --check ends with %d, want %d: %s", lab.ExitCode(err), want, out)
	}
}
