package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"upkeep/internal/desk"
	"upkeep/internal/identity"
)

// anybody is the scope of what needs no token. Every other scope is a verb of
// package identity: the right that the desk will ask for. None is left out by
// accident: the empty one is refused.
const anybody identity.Verb = "anybody"

// op is what an operation says of itself.
type op struct {
	id          string // what a client calls it
	call        string // "GET /v1/servers"
	scope       identity.Verb
	tag         string
	summary     string
	description string
	made        string        // what a 201 means; empty if there is none
	creates     bool          // 201 is the only success
	patience    time.Duration // how long a caller may ask to wait for the answer
}

const (
	bearer      = "bearer"
	patienceKey = "patience"
)

// register adds an operation whose handler is told who calls, and under which key.
func register[I, O any](d *door, o op, handle func(context.Context, desk.Caller, *I) (*O, error)) {
	huma.Register(d.huma, d.operation(o), func(ctx context.Context, in *I) (*O, error) {
		c := callerOf(ctx)
		if k, ok := any(in).(interface{ idempotencyKey() string }); ok {
			c.Key = k.idempotencyKey()
		}
		out, err := handle(ctx, c, in)
		if err != nil {
			return nil, d.problemOf(ctx, err)
		}
		return out, nil
	})
}

func (d *door) operation(o op) huma.Operation {
	if o.scope == "" {
		panic(o.id + " declares no scope: say which right it needs, or anybody")
	}
	method, path, _ := strings.Cut(o.call, " ")
	h := huma.Operation{
		OperationID: o.id, Method: method, Path: path, Tags: []string{o.tag}, Summary: o.summary, Description: o.description,
		MaxBodyBytes: MaxBodyBytes, BodyReadTimeout: bodyTimeout, RejectUnknownQueryParameters: true,
		Security:  []map[string][]string{{bearer: {string(o.scope)}}},
		Metadata:  map[string]any{patienceKey: o.patience},
		Responses: map[string]*huma.Response{"default": {Ref: "#/components/responses/Problem"}},
	}
	if o.scope == anybody {
		h.Security = []map[string][]string{{}}
	}
	if o.creates {
		h.DefaultStatus = http.StatusCreated
	}
	if o.made != "" {
		h.Responses["201"] = &huma.Response{Description: o.made}
	}
	return h
}

// public reports whether an operation says that anybody may call it.
func public(o *huma.Operation) bool { return len(o.Security) == 1 && len(o.Security[0]) == 0 }

func patience(o *huma.Operation) time.Duration {
	p, _ := o.Metadata[patienceKey].(time.Duration)
	return p
}

// config is the framework's, without its pages, its links into answers, and its leniency.
func (d *door) config() huma.Config {
	format := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: unmarshal}
	return huma.Config{
		OpenAPI:       outline(),
		Formats:       map[string]huma.Format{"application/json": format, "json": format},
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{d.uniform},
	}
}

// unmarshal reads a body. The framework has every body read as "any" first, to
// compare it with the schema: that is where texts are looked at.
func unmarshal(data []byte, v any) error {
	if err := json.Unmarshal(data, v); err != nil {
		return err
	}
	if parsed, ok := v.(*any); ok && bytes.Contains(data, []byte(`\u0000`)) {
		return noNUL(*parsed, "")
	}
	return nil
}

// noNUL refuses texts that no database can hold.
func noNUL(v any, at string) error {
	switch v := v.(type) {
	case string:
		if strings.ContainsRune(v, 0) {
			return fmt.Errorf("%s must not contain the character U+0000", strings.TrimPrefix(at, "."))
		}
	case []any:
		for _, e := range v {
			if err := noNUL(e, at); err != nil {
				return err
			}
		}
	case map[string]any:
		for k, e := range v {
			if strings.ContainsRune(k, 0) {
				return fmt.Errorf("no name may contain the character U+0000")
			}
			if err := noNUL(e, at+"."+k); err != nil {
				return err
			}
		}
	}
	return nil
}
