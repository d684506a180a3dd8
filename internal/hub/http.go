package hub

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/wire"
)

// bodyTimeout is how long a request's body may take to arrive.
const bodyTimeout = time.Minute

// answerTimeout is how long an answer may take to be written.
const answerTimeout = time.Minute

// errTooOften is answered to whoever calls too often.
var errTooOften = &fault.Error{Kind: fault.KindUnavailable, Reason: "too many requests; try again later"}

// statusOf is the one place where a kind of fault becomes a status.
func statusOf(err error) int {
	var tooBig *http.MaxBytesError
	switch {
	case errors.Is(err, errTooOften):
		return http.StatusTooManyRequests
	case errors.As(err, &tooBig):
		return http.StatusRequestEntityTooLarge
	}
	switch fault.KindOf(err) {
	case fault.KindInvalid:
		return http.StatusBadRequest
	case fault.KindNotFound:
		return http.StatusNotFound
	case fault.KindConflict:
		return http.StatusConflict
	case fault.KindDenied:
		return http.StatusForbidden
	case fault.KindUnavailable:
		return http.StatusServiceUnavailable
	case fault.KindInternal:
	}
	return http.StatusInternalServerError
}

// problemOf is what an agent is told. Of our own troubles it learns only that
// there are some.
func problemOf(err error) wire.Problem {
	var f *fault.Error
	p := wire.Problem{Kind: string(fault.KindOf(err))}
	switch {
	case errors.Is(err, errTooOften):
		p.Reason = errTooOften.Reason
	case fault.Is(err, fault.KindInternal):
		p.Reason = "the control plane has made a mistake; its log says more"
	case fault.Is(err, fault.KindUnavailable):
		p.Reason = "the control plane can't answer now; try again"
	case errors.As(err, &f):
		p.Field, p.Reason = f.Field, f.Reason
		if p.Reason == "" {
			p.Reason = err.Error()
		}
	}
	return p
}

// call turns a function into a handler. The function returns what is answered,
// and how long it was held.
func (h *Hub) call(name string, f func(http.ResponseWriter, *http.Request) (any, time.Duration, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		var answer any
		var waited time.Duration
		var err error
		status := http.StatusOK
		if r.Method != http.MethodPost && name != "other" {
			w.Header().Set("Allow", http.MethodPost)
			status, err = http.StatusMethodNotAllowed, fault.Invalid("method", "must be POST")
		} else if answer, waited, err = f(w, r); err != nil {
			status = statusOf(err)
		}
		if err != nil {
			answer = problemOf(err)
		}
		// Nobody wonders about the calls of an agent that is gone, or of one
		// that a shutdown has cut off.
		if err != nil && r.Context().Err() == nil {
			h.logProblem(name, r, status, err)
		}
		h.write(w, status, answer)
		if h.cfg.Observe != nil {
			h.cfg.Observe(name, status, time.Since(began)-waited)
		}
	})
}

// logProblem says what went wrong, as loud as it is ours.
func (h *Hub) logProblem(name string, r *http.Request, status int, err error) {
	log := h.log.Info
	switch {
	case status == http.StatusTooManyRequests:
		log = h.log.Debug // or whoever calls too often fills the log
	case status == http.StatusInternalServerError:
		log = h.log.Error
	case status >= http.StatusInternalServerError || status == http.StatusForbidden:
		log = h.log.Warn
	}
	log("a call of an agent was not answered with success", "call", name, "from", r.RemoteAddr, "status", status, "error", err)
}

func (h *Hub) write(w http.ResponseWriter, status int, answer any) {
	body, err := json.Marshal(answer)
	if err != nil {
		h.log.Error("write an answer", "error", err)
		status, body = http.StatusInternalServerError, []byte(`{"kind":"internal","reason":"the answer can't be written"}`)
	}
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // an agent that is gone asks again
}

// read decodes a request's body: one JSON value, at most wire.MaxBody long.
// Unknown fields are ignored, for agents may be newer than we are.
func read[T any](w http.ResponseWriter, r *http.Request) (T, error) {
	var v T
	// A server may limit how long a whole call takes; a held poll takes longer.
	// Neither deadline is known to every ResponseWriter, and none is needed there.
	deadlines := http.NewResponseController(w)
	_ = deadlines.SetReadDeadline(time.Now().Add(bodyTimeout))
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, wire.MaxBody))
	err := dec.Decode(&v)
	if err == nil {
		_, err = dec.Token()
		if err == nil {
			err = errors.New("more than one value")
		} else if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	_ = deadlines.SetReadDeadline(time.Time{})
	if err != nil {
		return v, &fault.Error{Kind: fault.KindInvalid, Reason: "the body can't be read as JSON: " + clip(err.Error(), maxReason), Cause: err}
	}
	return v, nil
}

// lasts makes a connection last as long as a poll may be held, and its answer
// takes to be written.
func lasts(w http.ResponseWriter, hold time.Duration) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(hold + answerTimeout)) // see read
}
