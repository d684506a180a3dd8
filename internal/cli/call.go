package cli

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"upkeep/client"
)

// pauses are how long is waited between the tries of one request.
var pauses = []time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second}

// ask makes a request that changes nothing, and repeats it if it gets lost.
func ask[T any](ctx context.Context, request func(context.Context) (T, error)) (T, error) {
	for i := 0; ; i++ {
		out, err := request(ctx)
		if err == nil || i == len(pauses) || !passing(err) {
			return out, told(ctx, err)
		}
		if err := pause(ctx, pauses[i]); err != nil {
			return out, told(ctx, err)
		}
	}
}

// every asks for page after page, until there is no next one. The list is never nil.
func every[T any](ctx context.Context, list func(ctx context.Context, next string) (items []T, more string, err error)) ([]T, error) {
	type page struct {
		items []T
		next  string
	}
	all, at := []T{}, ""
	for {
		p, err := ask(ctx, func(ctx context.Context) (p page, err error) {
			p.items, p.next, err = list(ctx, at)
			return p, err
		})
		if err != nil {
			return nil, err
		}
		if all, at = append(all, p.items...), p.next; at == "" {
			return all, nil
		}
	}
}

// write makes a request that changes something. It may be repeated like any
// other, for all its tries have one key, and the server does it once.
func write[T any](ctx context.Context, request func(ctx context.Context, key string) (T, error)) (T, error) {
	key := rand.Text()
	return ask(ctx, func(ctx context.Context) (T, error) { return request(ctx, key) })
}

// remove is write for what has no answer.
func remove(ctx context.Context, request func(ctx context.Context, key string) error) error {
	_, err := write(ctx, func(ctx context.Context, key string) (struct{}, error) { return struct{}{}, request(ctx, key) })
	return err
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// passing reports whether the same request may succeed in a moment.
func passing(err error) bool {
	if p, ok := errors.AsType[*client.Problem](err); ok {
		switch p.Status {
		case 429, 502, 503, 504:
			return true
		}
		return false
	}
	var dns *net.DNSError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	case errors.As(err, &dns) && dns.IsNotFound, distrusted(err), notHTTPS(err):
		return false
	}
	return true
}

// told gives what is no problem of the server's own telling the exit code of a
// server that can't be reached, and says what can be done.
func told(ctx context.Context, err error) error {
	var p *client.Problem
	switch {
	case err == nil || errors.As(err, &p):
		return err
	case ctx.Err() != nil:
		return ctx.Err() // whatever it looks like, we gave up ourselves
	case distrusted(err):
		return &coded{code: exitUnavailable, cause: err, text: fmt.Sprintf("%v; name the authority that the server's certificate is from with --ca, UPKEEP_CA or ca in the configuration file", err)}
	case notHTTPS(err):
		return &coded{code: exitUnavailable, cause: err, text: fmt.Sprintf("%v; is the address right?", err)}
	}
	return &coded{code: exitUnavailable, cause: err, text: err.Error()}
}

// distrusted reports whether the server's certificate was refused.
func distrusted(err error) bool {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verify *tls.CertificateVerificationError
	return errors.As(err, &authority) || errors.As(err, &name) || errors.As(err, &invalid) || errors.As(err, &verify)
}

// notHTTPS reports whether what answered does not speak TLS.
func notHTTPS(err error) bool {
	var header tls.RecordHeaderError
	return errors.As(err, &header) || strings.Contains(err.Error(), "server gave HTTP response to HTTPS client")
}

// completionTimeout is how long a shell that completes a word waits for names.
const completionTimeout = 2 * time.Second
