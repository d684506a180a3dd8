package stackit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stackitcloud/stackit-sdk-go/core/config"
	"github.com/stackitcloud/stackit-sdk-go/core/oapierror"
	iaasv1 "github.com/stackitcloud/stackit-sdk-go/services/iaas/v1api"
	iaasv2 "github.com/stackitcloud/stackit-sdk-go/services/iaas/v2api"
	"github.com/stackitcloud/stackit-sdk-go/services/serverupdate/v1api"
	"github.com/stackitcloud/stackit-sdk-go/services/serverupdate/v2api"

	"upkeep/internal/action"
	"upkeep/internal/compat/stackit"
	"upkeep/internal/desk"
	"upkeep/internal/fleet"
	"upkeep/internal/identity"
	"upkeep/internal/limit"
	"upkeep/internal/store"
	"upkeep/internal/store/sqlite"
)

// house is a real desk on a real database behind the real door.
type house struct {
	t      testing.TB
	db     store.DB
	desk   *desk.Desk
	url    string
	door   http.Handler
	log    *bytes.Buffer     // what the door logs
	tokens map[string]string // by name: olga may all, mara is a member and vera a viewer of red
}

// red is a project as STACKIT names them.
const red = "5e1bd2a4-3f0c-4e1e-9d8c-0a8b7f6e5d4c"

var operator = desk.Caller{Principal: identity.Principal{Name: "olga", Role: identity.Operator}}

func newHouse(t testing.TB) *house {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "upkeep.db"), sqlite.Unsafe())
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, db: db, log: &bytes.Buffer{}, tokens: map[string]string{}}
	t.Cleanup(func() { h.must(db.Close()) })
	var ids atomic.Int64
	h.desk = desk.New(db, func() string { return fmt.Sprintf("00000000-0000-7000-8000-%012d", ids.Add(1)) }, func() {})
	h.door = stackit.New(stackit.Config{
		Desk: h.desk, Log: slog.New(slog.NewTextHandler(h.log, nil)), Limit: limit.New(1e6, 1e6),
		Authenticate: func(ctx context.Context, secret string) (identity.Principal, error) {
			return identity.Authenticate(ctx, db, secret)
		},
	})
	s := httptest.NewServer(h.door)
	t.Cleanup(s.Close)
	h.url = s.URL
	h.token("olga", identity.Operator, "")
	h.token("mara", identity.Member, red)
	h.token("vera", identity.Viewer, red)
	h.token("bert", identity.Member, "blue")
	return h
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) token(name string, role identity.Role, project string) {
	h.t.Helper()
	secret, row, err := identity.NewToken(name, role, project, time.Time{}, time.Now())
	h.must(err)
	h.must(h.db.Update(context.Background(), func(tx store.Tx) error { return tx.PutToken(row) }))
	h.tokens[name] = secret
}

// server makes one known in red.
func (h *house) server(name string, labels map[string]string) fleet.Target {
	h.t.Helper()
	t, _, err := h.desk.PutServer(context.Background(), operator, desk.ServerSpec{Project: red, Name: name, Labels: labels})
	h.must(err)
	return t
}

// observe says what a server's agent offers.
func (h *house) observe(id string, commands ...string) {
	h.t.Helper()
	h.must(h.db.Update(context.Background(), func(tx store.Tx) error {
		t, err := tx.Target(id)
		if err != nil {
			return err
		}
		t.Observed, t.ObservedAt = &action.Observation{Arch: "amd64", Manager: "apt", Commands: commands}, time.Now()
		_, err = tx.PutTarget(t)
		return err
	}))
}

// answer is what came back.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	text   string
}

// ask sends one request as a person, and holds the answer against what every
// answer must be.
func (h *house) ask(call, who, body string) answer {
	h.t.Helper()
	method, path, _ := strings.Cut(call, " ")
	var sent io.Reader
	if body != "" {
		sent = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, h.url+path, sent)
	h.must(err)
	if who != "" {
		req.Header.Set("Authorization", "Bearer "+h.tokens[who])
	}
	resp, err := noRedirects.Do(req)
	h.must(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	h.must(err)
	a := answer{h.t, resp.StatusCode, resp.Header, string(text)}
	a.wellFormed(call)
	return a
}

var noRedirects = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// wellFormed checks what SDK and command line can't do without.
func (a answer) wellFormed(call string) {
	a.t.Helper()
	method, path, _ := strings.Cut(call, " ")
	switch {
	case method == http.MethodHead:
		return
	case a.status == http.StatusNoContent:
		if a.text != "" {
			a.t.Errorf("%s: 204 with %q", call, a.text)
		}
		return
	case a.text == "" || a.header.Get("Content-Type") != "application/json" || !json.Valid([]byte(a.text)):
		a.t.Errorf("%s: %d, %q: %q", call, a.status, a.header.Get("Content-Type"), a.text)
	}
	if a.status < 400 {
		return
	}
	var b struct {
		Status  any
		Message any
		Code    any
		Msg     any
	}
	if err := json.Unmarshal([]byte(a.text), &b); err != nil {
		a.t.Errorf("%s: %v in %s", call, err, a.text)
	}
	_, status := b.Status.(string)
	message, _ := b.Message.(string)
	code, _ := b.Code.(float64)
	msg, _ := b.Msg.(string)
	ofImages := int(code) == a.status && msg != "" && strings.Contains(path, "images")
	if !ofImages && (!status || message == "") {
		a.t.Errorf("%s: an error without a status and a message as strings: %s", call, a.text)
	}
}

// is holds the status, and says what came instead.
func (a answer) is(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%d %s, want %d", a.status, a.text, status)
	}
	return a
}

// into reads the body.
func (a answer) into(v any) {
	a.t.Helper()
	if err := json.Unmarshal([]byte(a.text), v); err != nil {
		a.t.Fatalf("%v in %s", err, a.text)
	}
}

// Schedule, Update and Policy are what a client reads, and what we tell beyond that.
type (
	Schedule struct {
		ID                int32
		Name              string
		RRule             string
		Enabled           bool
		MaintenanceWindow int32
		WindowText        string
		Occurrences       []struct{ Start, End, Frozen string }
		Overlaps          []struct {
			ScheduleID       int32
			Name, Start, End string
		}
		Resting bool
	}
	Update struct {
		ID               int32
		Status           string
		StartDate        string
		EndDate          string
		InstalledUpdates *int32
		FailedUpdates    *int32
		FailReason       string
		Packages         []struct{ Name, From, To, Failure string }
		Waits            []string
	}
	Policy struct {
		ID                string
		Name              string
		Description       string
		Default           bool
		Enabled           bool
		RRule             string
		MaintenanceWindow int32
	}
)

// as reads a value of the SDK as JSON tells it.
func as[T any](v any, err error) (out T, _ error) {
	if err != nil {
		return out, err
	}
	text, err := json.Marshal(v)
	if err != nil {
		return out, err
	}
	return out, json.Unmarshal(text, &out)
}

type items[T any] struct{ Items []T }

func listed[T any](v any, err error) ([]T, error) {
	l, err := as[items[T]](v, err)
	if err == nil && l.Items == nil {
		return nil, errors.New("a list without items")
	}
	return l.Items, err
}

// sdk is STACKIT's own client of one version, for one server.
type sdk struct {
	enable         func(policy *string) error
	service        func() (bool, error)
	disable        func() error
	update         func(hours int32, backup *bool) (Update, error)
	updates        func() ([]Update, error)
	getUpdate      func(id string) (Update, error)
	schedule       func(name, rrule string, enabled bool, hours int32) (Schedule, error)
	schedules      func() ([]Schedule, error)
	getSchedule    func(id string) (Schedule, error)
	replace        func(id, name, rrule string, enabled bool, hours int32) (Schedule, error)
	deleteSchedule func(id string) error
	policies       func() ([]Policy, error)
}

func (h *house) options(who, prefix string) []config.ConfigurationOption {
	return []config.ConfigurationOption{config.WithEndpoint(h.url + prefix), config.WithToken(h.tokens[who])}
}

const region = "eu01"

// v2 is the SDK's client of version 2, whose endpoint has a prefix.
func (h *house) v2(who, prefix, server string) sdk {
	h.t.Helper()
	client, err := v2api.NewAPIClient(h.options(who, prefix)...)
	h.must(err)
	api, ctx := client.DefaultAPI, context.Background()
	return sdk{
		enable: func(policy *string) error {
			return api.EnableServiceResource(ctx, red, server, region).EnableServiceResourcePayload(v2api.EnableServiceResourcePayload{UpdatePolicyId: policy}).Execute()
		},
		service: func() (bool, error) {
			s, err := api.GetServiceResource(ctx, red, server, region).Execute()
			return s.GetEnabled(), err
		},
		disable: func() error { return api.DisableServiceResource(ctx, red, server, region).Execute() },
		update: func(hours int32, backup *bool) (Update, error) {
			return as[Update](api.CreateUpdate(ctx, red, server, region).CreateUpdatePayload(v2api.CreateUpdatePayload{MaintenanceWindow: hours, BackupBeforeUpdate: backup}).Execute())
		},
		updates: func() ([]Update, error) { return listed[Update](api.ListUpdates(ctx, red, server, region).Execute()) },
		getUpdate: func(id string) (Update, error) {
			return as[Update](api.GetUpdate(ctx, red, server, id, region).Execute())
		},
		schedule: func(name, rrule string, enabled bool, hours int32) (Schedule, error) {
			return as[Schedule](api.CreateUpdateSchedule(ctx, red, server, region).CreateUpdateSchedulePayload(v2api.CreateUpdateSchedulePayload{Name: name, Rrule: rrule, Enabled: enabled, MaintenanceWindow: hours}).Execute())
		},
		schedules: func() ([]Schedule, error) {
			return listed[Schedule](api.ListUpdateSchedules(ctx, red, server, region).Execute())
		},
		getSchedule: func(id string) (Schedule, error) {
			return as[Schedule](api.GetUpdateSchedule(ctx, red, server, id, region).Execute())
		},
		replace: func(id, name, rrule string, enabled bool, hours int32) (Schedule, error) {
			return as[Schedule](api.UpdateUpdateSchedule(ctx, red, server, id, region).UpdateUpdateSchedulePayload(v2api.UpdateUpdateSchedulePayload{Name: name, Rrule: rrule, Enabled: enabled, MaintenanceWindow: hours}).Execute())
		},
		deleteSchedule: func(id string) error { return api.DeleteUpdateSchedule(ctx, red, server, id, region).Execute() },
		policies:       func() ([]Policy, error) { return listed[Policy](api.ListUpdatePolicies(ctx, red).Execute()) },
	}
}

// v1 is the SDK's client of version 1; old says whether the service is switched
// by the address that version 1 had first.
func (h *house) v1(who, prefix, server string, old bool) sdk {
	h.t.Helper()
	client, err := v1api.NewAPIClient(h.options(who, prefix)...)
	h.must(err)
	api, ctx := client.DefaultAPI, context.Background()
	s := sdk{
		enable: func(policy *string) error {
			return api.EnableServiceResource(ctx, red, server).EnableServiceResourcePayload(v1api.EnableServiceResourcePayload{UpdatePolicyId: policy}).Execute()
		},
		service: func() (bool, error) {
			s, err := api.GetServiceResource(ctx, red, server).Execute()
			return s.GetEnabled(), err
		},
		disable: func() error { return api.DisableServiceResource(ctx, red, server).Execute() },
		update: func(hours int32, backup *bool) (Update, error) {
			return as[Update](api.CreateUpdate(ctx, red, server).CreateUpdatePayload(v1api.CreateUpdatePayload{MaintenanceWindow: hours, BackupBeforeUpdate: backup}).Execute())
		},
		updates:   func() ([]Update, error) { return listed[Update](api.ListUpdates(ctx, red, server).Execute()) },
		getUpdate: func(id string) (Update, error) { return as[Update](api.GetUpdate(ctx, red, server, id).Execute()) },
		schedule: func(name, rrule string, enabled bool, hours int32) (Schedule, error) {
			return as[Schedule](api.CreateUpdateSchedule(ctx, red, server).CreateUpdateSchedulePayload(v1api.CreateUpdateSchedulePayload{Name: name, Rrule: rrule, Enabled: enabled, MaintenanceWindow: hours}).Execute())
		},
		schedules: func() ([]Schedule, error) {
			return listed[Schedule](api.ListUpdateSchedules(ctx, red, server).Execute())
		},
		getSchedule: func(id string) (Schedule, error) {
			return as[Schedule](api.GetUpdateSchedule(ctx, red, server, id).Execute())
		},
		replace: func(id, name, rrule string, enabled bool, hours int32) (Schedule, error) {
			return as[Schedule](api.UpdateUpdateSchedule(ctx, red, server, id).UpdateUpdateSchedulePayload(v1api.UpdateUpdateSchedulePayload{Name: name, Rrule: rrule, Enabled: enabled, MaintenanceWindow: hours}).Execute())
		},
		deleteSchedule: func(id string) error { return api.DeleteUpdateSchedule(ctx, red, server, id).Execute() },
		policies:       func() ([]Policy, error) { return listed[Policy](api.ListUpdatePolicies(ctx, red).Execute()) },
	}
	if old {
		s.enable = func(policy *string) error {
			return api.EnableService(ctx, red, server).EnableServicePayload(v1api.EnableServicePayload{UpdatePolicyId: policy}).Execute()
		}
		s.disable = func() error { return api.DisableService(ctx, red, server).Execute() }
	}
	return s
}

func (h *house) iaas(who string) iaasv2.DefaultAPI {
	h.t.Helper()
	client, err := iaasv2.NewAPIClient(h.options(who, "")...)
	h.must(err)
	return client.DefaultAPI
}

func (h *house) iaasV1(who string) iaasv1.DefaultAPI {
	h.t.Helper()
	client, err := iaasv1.NewAPIClient(h.options(who, "")...)
	h.must(err)
	return client.DefaultAPI
}

// refused holds an error of the SDK: its status, and what its body says.
func refused(t testing.TB, err error, status int, says ...string) {
	t.Helper()
	var told *oapierror.GenericOpenAPIError
	if !errors.As(err, &told) {
		t.Fatalf("%T %v, want a refusal with %d", err, err, status)
	}
	if told.StatusCode != status {
		t.Errorf("%d %s, want %d", told.StatusCode, told.Body, status)
	}
	for _, s := range says {
		if !strings.Contains(told.Error(), s) {
			t.Errorf("%s does not say %q", told.Error(), s)
		}
	}
}

func newUUID() string { return uuid.NewString() }
