//go:build linux && e2e

package e2e

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"upkeep/internal/lab"
)

// A real MariaDB with Galera, small enough that three fit beside each other.
const (
	galeraConfig = `[mysqld]
bind-address = 0.0.0.0
skip-name-resolve
binlog_format = row
innodb_autoinc_lock_mode = 2
innodb_buffer_pool_size = 64M
innodb_log_file_size = 16M
wsrep_on = ON
wsrep_provider = /usr/lib/galera/libgalera_smm.so
wsrep_provider_options = "gcache.size=16M"
wsrep_cluster_name = lab
wsrep_cluster_address = gcomm://s1,s2,s3
wsrep_node_address = %s
wsrep_node_name = %s
wsrep_sst_method = rsync
`
	// writeAll writes one row after the other through the proxy, some ten a
	// second, each with a connection of its own, and keeps what it was told.
	writeAll = `i=0
until [ -e /run/stop ]; do
	i=$((i + 1))
	if mariadb -h %s -P 3306 -u writer --connect-timeout=10 shop -e "INSERT INTO written VALUES ($i)" 2>> /var/log/errors; then
		echo $i >> /var/log/told
	else
		echo $i >> /var/log/refused
	fi
	sleep 0.08
done
`
)

// TestGalera rolls a real cluster of three by the shipped runbook, while rows
// are written through HAProxy, and shows the trap that the runbook's gate is
// for: for some seconds after two of three have died the survivor still says
// that all three are there.
func TestGalera(t *testing.T) {
	t.Parallel()
	s := newUnitSite(t, 4, "galera-member", "mariadb.service", "mariadb-server", "galera-4", "rsync")
	client := s.l.Servers[3]
	for i, m := range s.members {
		write(t, m, "/etc/mysql/mariadb.conf.d/90-lab.cnf", fmt.Sprintf(galeraConfig, m.Addr, m.Name), 0o644)
		if i == 0 {
			must(t, m, "galera_new_cluster")
		} else {
			must(t, m, "systemctl", "start", "mariadb")
		}
		until(t, m, time.Minute, "galera-whole", strconv.Itoa(i+1))
	}
	sql(t, s.members[0], "CREATE USER check_user@'%'; CREATE DATABASE shop; CREATE TABLE shop.written (n INT PRIMARY KEY); CREATE USER writer@'%'; GRANT ALL ON shop.* TO writer@'%'")
	for _, m := range s.members {
		write(t, m, "/usr/local/sbin/went-on", "#!/bin/sh\nmariadb -N -B -e \"SHOW STATUS LIKE 'wsrep_cluster_s%'\" > /run/went-on\n", 0o755)
	}
	s.enrolUnits("  went-on: [/usr/local/sbin/went-on]\n" + strings.TrimPrefix(ownersCommands(t, "backups"), "commands:\n"))
	s.describe(fmt.Sprintf("with: {backend: galera}\nproxies:\n  - {name: edge, with: {socket: %q}}\n", proxyGalera(t, s)))

	stop := startWriter(t, client)
	began := views(t, s)
	s.rollWhole(func() {}, func(string) {})
	stop()
	nothingLost(t, s, client)
	if sizes := sizes(views(t, s)[len(began):]); sizes != "2 3 2 3 2 3" {
		t.Errorf("the sizes of the cluster were %s", sizes)
	}
	copiesFirst(t, s, client)
	survivorIsNotBelieved(t, s)
	nothingLost(t, s, client)
}

// copiesFirst makes a copy on each host by the shipped runbook, whose check
// restores it. The second host has nowhere to put its own at first: the run halts
// there, and nothing is done on the third.
func copiesFirst(t *testing.T, s *site, client *lab.Server) {
	t.Helper()
	copies := func(m *lab.Server) string { return must(t, m, "find", "/mnt", "-name", "*.sql.gz") }
	s.upkeep("apply", "-f", "../../runbooks/backups.yaml")
	for _, m := range []*lab.Server{s.members[0], s.members[2]} {
		write(t, m, "/mnt/copies/.keep", "", 0o644)
	}
	from := time.Now()
	run := s.rollBook("backups")
	poll(t, time.Minute, "the run to halt", func() bool { return s.halted(run) != "" })
	if halt := s.halted(run); !strings.Contains(halt, "s2 copy failed") || !strings.Contains(halt, "there is no folder /mnt/copies") {
		t.Errorf("it says %q", halt)
	}
	if copies(s.members[0]) == "" || copies(s.members[1])+copies(s.members[2]) != "" {
		t.Errorf("when it has halted there are %q, %q, %q", copies(s.members[0]), copies(s.members[1]), copies(s.members[2]))
	}
	write(t, s.members[1], "/mnt/copies/.keep", "", 0o644)
	s.upkeep("resume", "cluster")
	s.waitSuccess(run)
	t.Logf("three copies, each restored, in %.1fs", time.Since(from).Seconds())
	told := len(lines(t, client, "/var/log/told"))
	for _, m := range s.members {
		// What is in the copy, by the text itself: all that was written when it was made.
		rows := must(t, m, "sh", "-c", "zcat /mnt/copies/*.sql.gz | sed -n '/INSERT INTO `written`/,/;$/p' | grep -o '([0-9]*)' | wc -l")
		if rows != strconv.Itoa(told) {
			t.Errorf("the copy of %s has %s rows of %d", m.Name, rows, told)
		}
	}
	// A copy that can be unpacked and does not restore is no copy.
	must(t, s.members[0], "sh", "-c", "cd /mnt/copies && f=$(echo *.sql.gz) && zcat $f | sed 's/^INSERT INTO `written`/INSERT INTO `lost`/' >text && gzip <text >$f && rm text")
	if out, err := s.members[0].Exec("/usr/local/sbin/mariadb-copy", "/mnt/copies", "verify"); lab.ExitCode(err) != 1 || !strings.Contains(out, "lost") {
		t.Errorf("of a copy that does not restore it says %v: %s", err, out)
	}
}

// survivorIsNotBelieved: two of three are killed. The survivor says of itself and
// of them that all is well, which the naive gate believes and ours does not.
func survivorIsNotBelieved(t *testing.T, s *site) {
	t.Helper()
	killTwo := func() {
		onAll(t, s.members[1:], func(m *lab.Server) error { return s.crash(m, "mariadbd") })
	}
	said := s.naiveGoesOn("galera-whole", killTwo)
	if want := "wsrep_cluster_size\t3\nwsrep_cluster_state_uuid"; !strings.Contains(said, want) || !strings.Contains(said, "Primary") {
		t.Errorf("when the naive runbook went on the survivor said %q", said)
	}
	t.Logf("the naive runbook would have restarted the last of three, which said %q", said)
	raiseGalera(t, s)

	before := s.restarted()
	killTwo()
	run := s.rollBook(s.book)
	poll(t, time.Minute, "the run to halt", func() bool { return s.halted(run) != "" })
	s.hears(run, "all-whole s1 done") // the survivor has lied to this run too
	if halt := s.halted(run); !strings.Contains(halt, "s2") || !strings.Contains(halt, "does not answer") {
		t.Errorf("it says %q", halt)
	}
	raiseGalera(t, s)
	s.upkeep("abort", run)
	s.waitRun(run, time.Minute)
	if after := s.restarted(); !slices.Equal(after, before) {
		t.Errorf("it restarted somebody: %v, before %v", after, before)
	}
}

// raiseGalera does what a person must when two of three have died: the survivor
// is told that it is the cluster now, and the dead come back to it.
func raiseGalera(t *testing.T, s *site) {
	t.Helper()
	poll(t, time.Minute, "the survivor to notice", func() bool {
		return strings.Contains(sql(t, s.members[0], "SHOW STATUS LIKE 'wsrep_cluster_status'"), "non-Primary")
	})
	sql(t, s.members[0], "SET GLOBAL wsrep_provider_options = 'pc.bootstrap=YES'")
	onAll(t, s.members[1:], s.raise)
	for _, m := range s.members {
		until(t, m, time.Minute, "galera-whole", "3")
	}
}

// view is what a member was told of who belongs to the cluster.
type view struct{ number, size int }

// views are those that may write, of all that the members' journals tell,
// oldest first.
func views(t testing.TB, s *site) (all []view) {
	t.Helper()
	for _, m := range s.members {
		must(t, m, "journalctl", "--sync")
		log := must(t, m, "journalctl", "--output=cat", "--unit="+s.unit)
		for _, found := range primaryView.FindAllStringSubmatch(log, -1) {
			number, _ := strconv.Atoi(found[1])
			size, _ := strconv.Atoi(found[2])
			all = append(all, view{number, size})
		}
	}
	slices.SortFunc(all, func(a, b view) int { return cmp.Compare(a.number, b.number) })
	return slices.Compact(all)
}

var primaryView = regexp.MustCompile(`View:\n  id: [^:]+:(\d+)\n  status: primary\n(?:  [a-z_]+: .*\n)*  members\((\d+)\):`)

func sizes(views []view) string {
	var text []string
	for _, v := range views {
		text = append(text, strconv.Itoa(v.size))
	}
	return strings.Join(text, " ")
}

// sql asks a member, as root over its socket.
func sql(t testing.TB, s *lab.Server, query string) string {
	t.Helper()
	return must(t, s, "mariadb", "-N", "-B", "-e", query)
}

// proxyGalera starts a real HAProxy before the three, which asks each as a
// client of MariaDB does, and returns the address of its runtime socket.
func proxyGalera(t *testing.T, s *site) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "proxy") //nolint:usetesting // a socket's path has few bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	text := fmt.Sprintf(`global
  stats socket %s/sock level admin
defaults
  mode tcp
  timeout connect 2s
  timeout client 1m
  timeout server 1m
listen galera
  bind %s:3306
  option mysql-check user check_user
  default-server check inter 1s rise 2 fall 3
`, dir, lab.Gateway)
	for _, m := range s.members {
		text += fmt.Sprintf("  server %s %s:3306\n", m.Name, m.Addr)
	}
	file := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := s.l.Command(context.Background(), "haproxy", "-db", "-f", file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return "unix:" + dir + "/sock"
}

// startWriter starts the client; what it returns ends it.
func startWriter(t *testing.T, client *lab.Server) (stop func()) {
	t.Helper()
	until(t, client, time.Minute, "mariadb", "-h", lab.Gateway, "-u", "writer", "shop", "-e", "SELECT 1")
	cmd, err := client.Command(context.Background(), "sh", "-c", fmt.Sprintf(writeAll, lab.Gateway))
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	poll(t, 30*time.Second, "the first rows", func() bool { return len(lines(t, client, "/var/log/told")) > 20 })
	return func() {
		write(t, client, "/run/stop", "", 0o644)
		_ = cmd.Wait()
	}
}

// nothingLost: every row that the client was told of is on every node.
func nothingLost(t *testing.T, s *site, client *lab.Server) {
	t.Helper()
	told := lines(t, client, "/var/log/told")
	refused := lines(t, client, "/var/log/refused")
	for _, m := range s.members {
		have := strings.Fields(sql(t, m, "SET SESSION wsrep_sync_wait = 1; SELECT n FROM shop.written"))
		lost := slices.DeleteFunc(slices.Clone(told), func(n string) bool { return slices.Contains(have, n) })
		if len(lost) > 0 {
			t.Errorf("%s has lost %d of %d rows: %q", m.Name, len(lost), len(told), lost)
		}
	}
	t.Logf("%d rows written, %d refused", len(told), len(refused))
	if len(refused) > 0 {
		errors, _ := client.ReadFile("/var/log/errors")
		t.Errorf("%d rows were refused: %s", len(refused), errors)
	}
}

func lines(t testing.TB, s *lab.Server, name string) []string {
	t.Helper()
	text, err := s.ReadFile(name)
	if err != nil {
		return nil
	}
	return strings.Fields(string(text))
}
