package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

const (
	maxAsked   = 1 << 10     // bytes, of a question and of an answer
	askingTime = time.Second // for a question to be said
	answerTime = time.Minute // for a restart
	done       = "restarted" // what is answered when all is well
)

// serve hears who wants a replica restarted, one after the other.
func (s *Service) serve() {
	for {
		conn, err := s.door.Accept()
		if err != nil {
			return // closed
		}
		_ = conn.SetReadDeadline(time.Now().Add(askingTime))
		name, err := bufio.NewReader(io.LimitReader(conn, maxAsked)).ReadString('\n')
		if err == nil {
			answer := done
			if err := s.Restart(strings.TrimSpace(name)); err != nil {
				answer = err.Error()
			}
			fmt.Fprintln(conn, answer)
		}
		conn.Close()
	}
}

// AskRestart asks the service at a socket to restart a replica, and ends when
// that is done. It is what the agent of the replica's host runs.
func AskRestart(ctx context.Context, socket, name string) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	fmt.Fprintln(conn, name)
	answer, err := io.ReadAll(io.LimitReader(conn, maxAsked))
	switch text := strings.TrimSpace(string(answer)); {
	case err != nil:
		return err
	case text == "":
		return errors.New("the demo has ended")
	case text != done:
		return errors.New(text)
	}
	return nil
}
