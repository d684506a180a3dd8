//go:build linux && e2e

package e2e

import (
	"strings"
	"testing"
	"time"

	"upkeep/internal/lab"
)

// A real RabbitMQ, small enough that three fit beside each other.
const (
	rabbitConfig = `cluster_formation.peer_discovery_backend = classic_config
cluster_formation.classic_config.nodes.1 = rabbit@s1
cluster_formation.classic_config.nodes.2 = rabbit@s2
cluster_formation.classic_config.nodes.3 = rabbit@s3
cluster_partition_handling = pause_minority
`
	rabbitEnvironment = `SERVER_ADDITIONAL_ERL_ARGS="+S 1:1"
`
	// Ten orders in a queue of which each node has a copy.
	declareQuorumQueue = `{new, _} = rabbit_amqqueue:declare(rabbit_misc:r(<<"/">>, queue, <<"orders">>), true, false, [{<<"x-queue-type">>, longstr, <<"quorum">>}], none, <<"test">>),
[rabbit_basic:publish(rabbit_misc:r(<<"/">>, exchange, <<>>), <<"orders">>, [], <<"order">>) || _ <- lists:seq(1, 10)].`
)

// TestRabbitMQ rolls a real cluster of three by the shipped runbook. Before, one
// node is dead: the one that would be restarted says that it runs, which is all
// that a naive gate asks, while its queue would lose the quorum.
func TestRabbitMQ(t *testing.T) {
	t.Parallel()
	s := newUnitSite(t, 3, "rabbitmq-member", "rabbitmq-server.service", "rabbitmq-server", "jq")
	for _, m := range s.members {
		t.Cleanup(func() {
			if text, err := m.ReadFile("/var/log/rabbitmq/rabbit@" + m.Name + ".log"); t.Failed() && err == nil {
				t.Logf("RabbitMQ of %s:\n%s", m.Name, tail(string(text), 8000))
			}
		})
		write(t, m, "/etc/rabbitmq/rabbitmq.conf", rabbitConfig, 0o644)
		write(t, m, "/etc/rabbitmq/rabbitmq-env.conf", rabbitEnvironment, 0o644)
		write(t, m, "/var/lib/rabbitmq/.erlang.cookie", "one-cookie-for-all", 0o400)
		must(t, m, "chown", "rabbitmq:rabbitmq", "/var/lib/rabbitmq/.erlang.cookie")
		write(t, m, "/usr/local/sbin/went-on", "#!/bin/sh\nrabbitmq-diagnostics -q check_if_node_is_quorum_critical > /run/went-on 2>&1\n", 0o755)
	}
	onAll(t, s.members, func(m *lab.Server) error { // at once: each waits for the others
		_, err := m.Exec("systemctl", "start", "rabbitmq-server")
		return err
	})
	rabbitWhole(t, s)
	must(t, s.members[0], "rabbitmqctl", "-q", "eval", declareQuorumQueue)
	s.enrolUnits("  went-on: [/usr/local/sbin/went-on]\n  runs: [/usr/sbin/rabbitmq-diagnostics, -q, check_running]\n")
	s.describe("")

	kill := func() {
		if err := s.crash(s.members[2], "beam.smp"); err != nil {
			t.Fatal(err)
		}
	}
	said := s.naiveGoesOn("runs", kill)
	t.Logf("the naive runbook would have restarted a node which said %q", said)
	if !strings.Contains(said, "quorum") {
		t.Errorf("when the naive runbook went on the node said %q", said)
	}
	s.rollWhole(func() {}, func(run string) {
		poll(t, time.Minute, "the run to halt", func() bool { return s.halted(run) != "" })
		t.Logf("%s", s.halted(run))
		if err := s.raise(s.members[2]); err != nil {
			t.Fatal(err)
		}
		rabbitWhole(t, s)
		s.upkeep("resume", "cluster")
	})
	rabbitWhole(t, s)
	for _, m := range s.members {
		must(t, m, "rabbitmq-diagnostics", "-q", "check_if_node_is_quorum_critical")
		if have := must(t, m, "rabbitmqctl", "-q", "--no-table-headers", "list_queues", "name", "messages"); have != "orders\t10" {
			t.Errorf("%s has of the ten orders %q", m.Name, have)
		}
	}
}

func rabbitWhole(t *testing.T, s *site) {
	t.Helper()
	for _, m := range s.members {
		until(t, m, 2*time.Minute, "rabbitmq-whole", "3")
	}
}
