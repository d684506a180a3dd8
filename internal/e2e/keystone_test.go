//go:build linux && e2e

package e2e

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"upkeep/internal/lab"
)

// keystoneParts are the real things, on every server of the lab: Keystone under
// uwsgi, its database, HAProxy before it, and Ansible, the peer.
var keystoneParts = lab.Base{
	Debian: []string{
		"keystone", "uwsgi-core", "uwsgi-plugin-python3", "mariadb-server", "mariadb-client", "python3-pymysql",
		"haproxy", "socat", "openssh-server", "openssh-client", "ansible-core",
	},
	Answers: []string{
		"keystone keystone/configure_db boolean false",
		"keystone keystone/create-admin-tenant boolean false",
		"keystone keystone/register-endpoint boolean false",
	},
}

// region is Keystone on three control nodes, and a fourth server with HAProxy
// and the database.
type region struct {
	t     testing.TB
	l     *lab.Lab
	p     *plane
	nodes []*lab.Server
	edge  *lab.Server
}

const (
	keystoneURL = "http://10.77.1.4:5000" // HAProxy's, on the edge
	edgeSocket  = "10.77.1.4:9999"        // its admin socket
	keystoneCNF = "/etc/keystone/keystone.conf"
)

// restartKeystone is what the owner of a control node lets runbooks run. It ends
// when Keystone was started again, and not when that answers.
const restartKeystone = `#!/bin/sh
echo "$(date +%s.%N) restart" >> ` + restartLog + `
if [ -e /run/keystone.pid ]; then
	pid=$(cat /run/keystone.pid)
	kill -TERM "$pid" && while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
fi
test ! -e /etc/broken || exit 0
exec /usr/bin/uwsgi --ini /etc/keystone/uwsgi.ini
`

// uwsgi as Debian's own file has it, with as many processes as two processors
// carry. Like that one it stops at TERM without waiting for what is under way.
const uwsgiConf = `[uwsgi]
plugins = python3
http-socket = 0.0.0.0:5000
wsgi-file = /usr/bin/keystone-wsgi-public
chdir = /var/lib/keystone
uid = keystone
gid = keystone
master = true
processes = 2
lazy-apps = true
thunder-lock = true
no-orphans = true
die-on-term = true
enable-threads = true
buffer-size = 65535
listen = 100
pidfile = /run/keystone.pid
daemonize = /var/log/keystone/uwsgi.log
`

// keystoneConf: fewer rounds for passwords and a cache in each process, or a
// small machine carries a third of the requests.
const keystoneConf = `[DEFAULT]
log_file = /var/log/keystone/keystone.log
[cache]
enabled = true
backend = dogpile.cache.memory
[database]
connection = mysql+pymysql://keystone:kspw@10.77.1.4/keystone
[identity]
password_hash_rounds = 4
[token]
provider = fernet
`

// haproxyConf is what Kolla makes of Keystone.
const haproxyConf = `global
  maxconn 4000
  stats socket ipv4@` + edgeSocket + ` level admin
defaults
  mode http
  timeout http-request 10s
  timeout http-keep-alive 10s
  timeout queue 1m
  timeout connect 10s
  timeout client 1m
  timeout server 1m
  timeout check 10s
  retries 3
  option redispatch
  balance roundrobin
frontend keystone_internal_front
  bind 10.77.1.4:5000
  default_backend keystone_internal_back
backend keystone_internal_back
  option httpchk GET /healthcheck
  server ctl1 10.77.1.1:5000 check inter 2000 rise 2 fall 5
  server ctl2 10.77.1.2:5000 check inter 2000 rise 2 fall 5
  server ctl3 10.77.1.3:5000 check inter 2000 rise 2 fall 5
`

const keystoneService = `kind: Service
name: keystone
quorum: 2
with: {backend: keystone_internal_back, url: "` + keystoneURL + `"}
members:
  - {name: ctl1, server: s1, with: {url: "http://10.77.1.1:5000"}}
  - {name: ctl2, server: s2, with: {url: "http://10.77.1.2:5000"}}
  - {name: ctl3, server: s3, with: {url: "http://10.77.1.3:5000"}}
proxies:
  - {name: edge, with: {socket: "tcp:` + edgeSocket + `"}}
`

// TestKeystone rolls a real Keystone with the shipped runbooks, under load: no
// request fails or goes unanswered, and each was restarted once, by itself. Then
// it is upgraded, see there.
func TestKeystone(t *testing.T) {
	r := newRegion(t)
	m := startMix(t, r.l, 20)
	before := restarts(t, r.nodes)

	rolled := m.during(t, func() {
		id := r.roll()
		t.Log("\n" + r.p.story(id))
	})
	t.Log(rolled)
	if rolled.failed+rolled.unanswered > 0 || rolled.sent == 0 {
		t.Errorf("one after the other: %s", rolled)
	}
	oneByOne(t, r.nodes, before)

	r.upgrade(m)

	// What there is to lose: all at once.
	lost := m.during(t, r.restartAll)
	if lost.failed+lost.unanswered == 0 {
		t.Error("three restarts at once cost nothing: this test can't fail")
	}
	t.Logf("all at once: %s", lost)
}

// newRegion brings all of it up: Keystone answers three times, the agents are
// enrolled, and the control plane knows the service and the shipped runbook.
func newRegion(t testing.TB) *region {
	t.Helper()
	program := lab.GoBuild(t, "upkeep/cmd/upkeep")
	base := keystoneParts
	base.Programs = map[string]string{agentProgram: program}
	hostScripts(t, base.Programs)
	l := lab.New(t, 4, base)
	r := &region{t: t, l: l, nodes: l.Servers[:3], edge: l.Servers[3]}
	t.Cleanup(r.tell)
	r.p = startPlane(t, l, program, filepath.Join(t.TempDir(), "data"), planeAddress)
	l.Boot(t)
	r.startDatabase()
	r.configure()
	must(r.t, r.nodes[0], "runuser", "-u", "keystone", "--", "python3", "-c", formerSchema)
	must(r.t, r.nodes[0], "runuser", "-u", "keystone", "--", "keystone-manage", "bootstrap", "--bootstrap-password", "adminpw", "--bootstrap-region-id", "RegionOne",
		"--bootstrap-public-url", keystoneURL+"/v3/", "--bootstrap-internal-url", keystoneURL+"/v3/", "--bootstrap-admin-url", keystoneURL+"/v3/")
	r.restartAll()
	write(t, r.edge, "/etc/haproxy/haproxy.cfg", haproxyConf, 0o644)
	r.spawn(r.edge, "haproxy", "-db", "-f", "/etc/haproxy/haproxy.cfg")
	for _, s := range r.nodes {
		write(t, s, "/etc/upkeep/agent.yaml", ownersCommands(t, "keystone-upgrade")+"  restart-keystone: [/usr/local/bin/restart-keystone]\n", 0o644)
		r.p.enrol(s)
	}
	for _, s := range r.nodes {
		r.awaitHealthy(s)
	}
	file := filepath.Join(t.TempDir(), "service.yaml")
	if err := os.WriteFile(file, []byte(keystoneService), 0o600); err != nil {
		t.Fatal(err)
	}
	r.upkeep("apply", "-f", file, "-f", "../../runbooks/keystone-restart.yaml")
	return r
}

func (r *region) startDatabase() {
	r.t.Helper()
	must(r.t, r.edge, "install", "-d", "-o", "mysql", "/run/mysqld")
	r.spawn(r.edge, "mariadbd", "--user=mysql", "--bind-address=10.77.1.4", "--max-connections=200")
	poll(r.t, time.Minute, "the database", func() bool {
		_, err := r.edge.Exec("mariadb", "-e", "select 1")
		return err == nil
	})
	must(r.t, r.edge, "mariadb", "-e", "create database keystone; grant all on keystone.* to keystone@'%' identified by 'kspw'")
}

// configure gives the nodes what they have in common, and the same keys.
func (r *region) configure() {
	r.t.Helper()
	keys := map[string]string{}
	for _, name := range []string{"fernet-keys/0", "fernet-keys/1", "credential-keys/0", "credential-keys/1"} {
		var key [32]byte
		if _, err := rand.Read(key[:]); err != nil {
			r.t.Fatal(err)
		}
		keys["/etc/keystone/"+name] = base64.URLEncoding.EncodeToString(key[:])
	}
	for _, s := range r.nodes {
		for name, text := range keys {
			write(r.t, s, name, text, 0o600)
		}
		write(r.t, s, keystoneCNF, keystoneConf, 0o644)
		write(r.t, s, "/etc/keystone/uwsgi.ini", uwsgiConf, 0o644)
		write(r.t, s, "/usr/local/bin/restart-keystone", restartKeystone, 0o755)
		must(r.t, s, "install", "-d", "-o", "keystone", "/var/log/keystone")
		must(r.t, s, "chown", "-R", "keystone:", "/etc/keystone", "/var/log/keystone")
		must(r.t, s, "chmod", "700", "/etc/keystone/fernet-keys", "/etc/keystone/credential-keys")
	}
}

// restart restarts one Keystone, as its owner would by hand.
func (r *region) restart(s *lab.Server) { must(r.t, s, "/usr/local/bin/restart-keystone") }

// restartAll restarts all at once.
func (r *region) restartAll() {
	r.t.Helper()
	var all sync.WaitGroup
	for _, s := range r.nodes {
		all.Go(func() {
			if out, err := s.Exec("/usr/local/bin/restart-keystone"); err != nil {
				r.t.Errorf("%v: %s", err, out)
			}
		})
	}
	all.Wait()
}

// awaitHealthy waits until a Keystone says itself that it is well.
func (r *region) awaitHealthy(s *lab.Server) {
	client := r.l.HTTPClient()
	client.Timeout = 2 * time.Second
	defer client.CloseIdleConnections()
	poll(r.t, 2*time.Minute, "Keystone of "+s.Name, func() bool {
		resp, err := client.Get("http://" + s.Addr.String() + ":5000/healthcheck")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// upkeep runs the real command line, which must succeed.
func (r *region) upkeep(args ...string) string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	cmd := r.l.Command(ctx, r.p.program, args...)
	cmd.Env = append(os.Environ(), "UPKEEP_SERVER=https://"+planeAddress, "UPKEEP_CA="+filepath.Join(r.p.dir, "ca.pem"),
		"UPKEEP_TOKEN_FILE="+filepath.Join(r.p.dir, "operator.token"))
	out, err := cmd.Output()
	if err != nil {
		var said []byte
		if exit, ok := err.(*exec.ExitError); ok { //nolint:errorlint // Output returns it as it is
			said = exit.Stderr
		}
		r.t.Fatalf("upkeep %s: %v\n%s%s", strings.Join(args, " "), err, out, said)
	}
	return string(out)
}

// roll rolls with the shipped runbook, waits for the end, and returns the run.
func (r *region) roll() (id string) {
	r.t.Helper()
	said := r.upkeep("roll", "keystone", "keystone-restart", "--duration", "1h", "--reason", "PCO-1981", "--watch")
	var runs struct{ Items []runOf }
	r.p.call("GET", "/v1/runs?service=keystone&limit=1", nil, &runs)
	if len(runs.Items) != 1 || runs.Items[0].State != "succeeded" {
		r.t.Fatalf("the roll ended as %+v\n%s", runs.Items, said)
	}
	return runs.Items[0].ID
}

// spawn starts a program that stays, until the server is switched off.
func (r *region) spawn(s *lab.Server, argv ...string) {
	r.t.Helper()
	log := "/var/log/lab-" + argv[0] + ".log"
	must(r.t, s, "/bin/sh", append([]string{"-c", `log=$1; shift; setsid "$@" </dev/null >>"$log" 2>&1 &`, "sh", log}, argv...)...)
}

// tell tells the reader of a failed test what Keystone said last.
func (r *region) tell() {
	for _, s := range r.nodes {
		if said, err := s.Exec("sh", "-c", "tail -n 20 /var/log/keystone/*"); r.t.Failed() && err == nil {
			r.t.Logf("Keystone of %s:\n%s", s.Name, said)
		}
	}
}
