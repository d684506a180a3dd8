package stackit

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"upkeep/internal/fault"
)

// refusal is how an error is told: the message names the field and the reason,
// which clients that know more keys find in two of their own.
type refusal struct {
	status  int
	message string // empty: field and reason
	field   string // as the caller wrote it; may be empty
	reason  string
	retry   int // after how many seconds the same request may succeed; 0: who knows
}

func (r refusal) Error() string {
	switch {
	case r.message != "":
		return r.message
	case r.field != "":
		return r.field + ": " + r.reason
	}
	return r.reason
}

// errorBody is STACKIT's shape of an error. Its status is a string: a number
// would break its SDK.
type errorBody struct {
	Status  string `json:"status"`
	Message string `json:"message"`
	Field   string `json:"field,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

// imageErrorBody is the shape that the images' API has.
type imageErrorBody struct {
	Code   int    `json:"code"`
	Msg    string `json:"msg"`
	Field  string `json:"field,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// wideBody is how long a body may be for STACKIT's SDK to show it whole: of a
// longer one it cuts the middle out, so then the message is told once only.
const wideBody = 500

// fields are our words for what clients call otherwise.
var fields = map[string]string{"duration": "maintenanceWindow"}

// told says what a person wrote for the caller: the innermost reason, and the
// field to blame.
func told(kind fault.Kind, err error) refusal {
	r := refusal{status: map[fault.Kind]int{
		fault.KindInvalid: http.StatusBadRequest, fault.KindNotFound: http.StatusNotFound,
		fault.KindConflict: http.StatusConflict, fault.KindDenied: http.StatusForbidden,
	}[kind]}
	for f := (*fault.Error)(nil); errors.As(err, &f); err = f.Cause {
		if f.Reason != "" {
			r.reason = f.Reason
		}
		if f.Field != "" {
			r.field = f.Field
		}
		if f.Cause == nil {
			break
		}
	}
	// "rrule: DTSTART" blames a part of the field rrule.
	if field, part, ok := strings.Cut(r.field, ": "); ok {
		r.field, r.reason = field, part+" "+r.reason
	}
	if name, ok := fields[r.field]; ok {
		r.field = name
	}
	return r
}

// teller writes the answer.
type teller struct {
	w      http.ResponseWriter
	images bool
}

func (t teller) refuse(r refusal) {
	if r.status == http.StatusUnauthorized {
		t.w.Header().Set("WWW-Authenticate", `Bearer realm="upkeep"`)
	}
	if r.retry > 0 {
		t.w.Header().Set("Retry-After", strconv.Itoa(r.retry))
	}
	reason := r.reason
	if r.message == "" && r.field == "" {
		reason = "" // it is the message
	}
	body := func(field, reason string) any {
		if t.images {
			return imageErrorBody{r.status, r.Error(), field, reason}
		}
		return errorBody{http.StatusText(r.status), r.Error(), field, reason}
	}
	text := encoded(body(r.field, reason))
	if len(text) > wideBody {
		text = encoded(body(r.field, ""))
	}
	t.write(r.status, text)
}

func (t teller) answer(status int, body any) {
	if body == nil {
		t.headers()
		t.w.WriteHeader(http.StatusNoContent)
		return
	}
	t.write(status, encoded(body))
}

func (t teller) write(status int, text string) {
	t.headers()
	t.w.Header().Set("Content-Type", "application/json")
	t.w.WriteHeader(status)
	_, _ = t.w.Write([]byte(text)) // the caller is gone if this fails
}

func (t teller) headers() {
	t.w.Header().Set("Cache-Control", "no-store")
	t.w.Header().Set("X-Content-Type-Options", "nosniff")
}

// encoded writes JSON with every letter as it is: what clients gave comes back
// byte for byte.
func encoded(body any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(body); err != nil {
		panic(err) // our own structs always encode
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// list is how every list is answered: whole, without pages.
type list[T any] struct {
	Items []T `json:"items"`
}

func listOf[T any](items []T) list[T] {
	if items == nil {
		items = []T{}
	}
	return list[T]{items}
}
