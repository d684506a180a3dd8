package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"upkeep/internal/reach"
)

const (
	defaultStatus = "200"
	defaultEvery  = time.Second
	leastEvery    = 10 * time.Millisecond
	maxTimes      = 100
)

// check is an HTTP check. Its With: url, and if need be
//
//	status    what is a good answer: "200" (as if not said), "200-299", "200,404"
//	contains  text that the body must have in its first MiB
//	times     so many good answers in a row, 1 as if not said
//	every     the pause between requests, 1s as if not said
//	timeout   of one request, 5s as if not said
//	wait      so long bad answers are put up with; as if not said, the first one fails
//	ca        certificates in PEM to trust instead of the system's
//	header.X  the value of header X
type check struct {
	target                   target
	status                   []span
	want                     string // status as it was said
	contains                 string
	times                    int
	every, timeout, patience time.Duration
}

// span is of status codes, both ends included.
type span struct{ first, last int }

func newCheck(with map[string]string) (check, error) {
	c := check{times: 1, want: with["status"], contains: with["contains"]}
	if err := only(with, "url", "status", "contains", "times", "every", "timeout", "wait", "ca"); err != nil {
		return check{}, err
	}
	var err error
	if c.target, err = targetOf(with); err != nil {
		return check{}, err
	}
	if _, ok := with["status"]; !ok {
		c.want = defaultStatus
	}
	if c.status, err = spans(c.want); err != nil {
		return check{}, err
	}
	if text, ok := with["times"]; ok {
		if c.times, err = strconv.Atoi(text); err != nil || c.times < 1 || c.times > maxTimes {
			return check{}, wrong("times", "%q is no number from 1 to %d", text, maxTimes)
		}
	}
	if c.every, err = duration(with, "every", defaultEvery, leastEvery, maxTimeout); err != nil {
		return check{}, err
	}
	if c.timeout, err = duration(with, "timeout", defaultTimeout, time.Millisecond, maxTimeout); err != nil {
		return check{}, err
	}
	c.patience, err = duration(with, "wait", 0, 0, maxWait)
	return c, err
}

// spans reads "200", "200-299" or "200,404".
func spans(text string) ([]span, error) {
	var all []span
	for part := range strings.SplitSeq(text, ",") {
		from, to, ranged := strings.Cut(strings.TrimSpace(part), "-")
		if !ranged {
			to = from
		}
		first, err1 := strconv.Atoi(from)
		last, err2 := strconv.Atoi(to)
		if err1 != nil || err2 != nil || first < 100 || last > 599 || first > last {
			return nil, wrong("status", `%q is no status such as "200", "200-299" or "200,404"`, text)
		}
		all = append(all, span{first, last})
	}
	return all, nil
}

// check asks until there have been enough good answers in a row, or one bad
// answer too late.
func (h Hand) check(ctx context.Context, with map[string]string) (string, error) {
	c, err := newCheck(with)
	if err != nil {
		return "", err
	}
	client := h.client(ctx, c.target, c.timeout)
	var said lines
	began := time.Now()
	for good, bad := 0, ""; ; {
		a, err := c.target.ask(ctx, client, c.timeout)
		if denied, ok := errors.AsType[*reach.DeniedError](err); ok {
			return said.String(), fmt.Errorf("%s: %w", c.target.where(), denied)
		}
		why := c.judge(a, err)
		switch {
		case ctx.Err() != nil:
			return said.String(), c.unfinished(good, bad, ctx.Err())
		case why != "":
			good, bad = 0, why
			said.add(why)
		default:
			good++
			said.add(fmt.Sprintf("%s after %s", a.status, ms(a.took)))
		}
		if good == c.times {
			return said.String(), nil
		}
		if why != "" && time.Since(began)+c.every > c.patience {
			return said.String(), errors.New(c.target.where() + ": " + why + waited(c.patience))
		}
		if !sleep(ctx, c.every) {
			return said.String(), c.unfinished(good, bad, ctx.Err())
		}
	}
}

// judge says what came instead of a good answer; empty if it is one.
func (c check) judge(a answer, err error) string {
	if err != nil {
		return fmt.Sprintf("no whole answer: %s after %s, want %s", cut(err.Error()), ms(a.took), c.want)
	}
	ok := false
	for _, s := range c.status {
		ok = ok || s.first <= a.code && a.code <= s.last
	}
	switch {
	case !ok && a.where != "":
		a.where, _, _ = strings.Cut(a.where, "?")
		return fmt.Sprintf("%s to %s after %s, want %s; redirections are not followed", a.status, cut(a.where), ms(a.took), c.want)
	case !ok:
		return fmt.Sprintf("%s after %s, want %s", a.status, ms(a.took), c.want)
	case !bytes.Contains(a.body, []byte(c.contains)):
		scope := ""
		if a.more {
			scope = fmt.Sprintf(" in its first %d bytes", maxBody)
		}
		return fmt.Sprintf("%s after %s, but the body has no %q%s", a.status, ms(a.took), cut(c.contains), scope)
	}
	return ""
}

// unfinished is a check that ctx cut off.
func (c check) unfinished(good int, bad string, err error) error {
	if bad != "" {
		bad = ", the last bad one: " + bad
	}
	return fmt.Errorf("%s: the order's time was over after %d of %d good answers in a row%s: %w", c.target.where(), good, c.times, bad, err)
}

func waited(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return fmt.Sprintf("; waited %s for better", d)
}

// lines keeps the newest of what was said.
type lines struct {
	all  []string
	lost int
}

func (l *lines) add(line string) {
	l.all = append(l.all, line)
	if len(l.all) > maxLines {
		l.all = l.all[1:]
		l.lost++
	}
}

func (l *lines) String() string {
	text := strings.Join(l.all, "\n")
	if l.lost > 0 {
		text = fmt.Sprintf("(%d answers before)\n%s", l.lost, text)
	}
	return text
}
