package portal

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/desk"
	"upkeep/internal/fault"
	"upkeep/internal/history"
	"upkeep/internal/identity"
	"upkeep/internal/run"
)

// factsPerPage is how many facts one page of a run lists.
const factsPerPage = 500

// runView is a run's page.
type runView struct {
	Run      run.Run
	Zone     *time.Location
	Progress progressView
	Outputs  []outputView
	Facts    []history.Fact
	More     string // the address of the facts after those; empty: there are none
	MayRun   bool
	HasHost  bool // the server or service still exists
}

// outputView is what a step's command printed.
type outputView struct {
	Title   string
	Attempt int
	At      time.Time
	Text    string
}

func (p *Portal) run(v *visit) error {
	ctx, id := v.r.Context(), v.r.PathValue("id")
	story, err := p.cfg.Desk.RunStory(ctx, v.caller, id)
	if err != nil {
		return err
	}
	r := story.Run
	view := runView{
		Run: r, Zone: desk.Zone(r), Progress: v.follow(r, story.Answers), Outputs: v.outputs(r, story.Answers),
		MayRun: v.caller.May(identity.Run, r.Project) == nil && !r.State.Ended(),
	}
	after, _ := strconv.ParseInt(v.r.URL.Query().Get("after"), 10, 64) // what is no number is the beginning
	view.Facts, err = p.cfg.Desk.History(ctx, v.caller, desk.HistoryFilter{Run: id, After: max(after, 0), Limit: factsPerPage}, 0)
	if err != nil {
		return err
	}
	if n := len(view.Facts); n == factsPerPage {
		view.More = runPath(id) + "?" + url.Values{"after": {strconv.FormatInt(view.Facts[n-1].Seq, 10)}}.Encode() + "#facts"
	}
	if view.HasHost, err = p.hasHost(v, r); err != nil {
		return err
	}
	if !r.State.Ended() {
		v.live = runPath(id) + "/live"
		v.refresh = r.State == run.Working
	}
	return v.paint(http.StatusOK, runPage(v, view))
}

// hasHost reports whether the server or service of a run still exists.
func (p *Portal) hasHost(v *visit, r run.Run) (bool, error) {
	var err error
	if r.Book != nil {
		_, err = p.cfg.Desk.Service(v.r.Context(), v.caller, r.Project, r.Target)
	} else {
		_, err = p.cfg.Desk.Server(v.r.Context(), v.caller, r.Project, r.Target)
	}
	if fault.Is(err, fault.KindNotFound) {
		return false, nil
	}
	return err == nil, err
}

// outputs are what the run's commands printed, in order.
func (v *visit) outputs(r run.Run, answers map[string]action.Result) []outputView {
	var all []outputView
	for key, a := range answers {
		step, attempt, ok := orderOf(r.ID, key)
		if !ok || strings.TrimSpace(a.Output) == "" {
			continue
		}
		title := v.title(kindOf(step), len(a.Changes)+len(a.Failures), "", a.DryRun)
		if s, ok := r.Plan.Step(step); ok {
			title = v.titleOf(s)
		}
		all = append(all, outputView{
			Title: title, Attempt: attempt, At: a.Started, Text: strings.ToValidUTF8(a.Output, "\uFFFD"),
		})
	}
	slices.SortFunc(all, func(a, b outputView) int {
		return cmp.Or(a.At.Compare(b.At), strings.Compare(a.Title, b.Title), a.Attempt-b.Attempt)
	})
	return all
}

func (p *Portal) pause(v *visit) error {
	r, err := p.cfg.Desk.Pause(v.r.Context(), v.caller, v.r.PathValue("id"))
	return v.afterwards(r, err)
}

func (p *Portal) resume(v *visit) error {
	r, err := p.cfg.Desk.Resume(v.r.Context(), v.caller, v.r.PathValue("id"))
	return v.afterwards(r, err)
}

// afterwards leads back to the run that was moved.
func (v *visit) afterwards(r run.Run, err error) error {
	if err != nil {
		return err
	}
	return v.goTo(runPath(r.ID))
}

// abortView is the form that aborts a run.
type abortView struct {
	Run    run.Run
	Reason string
	Error  *formError
}

// formError is what is wrong with a form: which field, and why.
type formError struct {
	Field   string // its name in the form; empty: no field is to blame
	Label   string // the field's name for a person
	Reason  string
	English bool // Reason is English, whatever the page's language
}

// blames reports whether the error is about a field.
func (e *formError) blames(field string) bool { return e != nil && e.Field == field }

func (p *Portal) abortForm(v *visit) error {
	r, err := p.abortable(v)
	if err != nil {
		return err
	}
	return v.paint(http.StatusOK, abortPage(v, abortView{Run: r}))
}

// abortable is the run that the caller may abort.
func (p *Portal) abortable(v *visit) (run.Run, error) {
	r, err := p.cfg.Desk.Run(v.r.Context(), v.caller, v.r.PathValue("id"))
	if err == nil {
		err = v.caller.May(identity.Run, r.Project)
	}
	return r, err
}

func (p *Portal) abort(v *visit) error {
	r, err := p.abortable(v)
	if err != nil {
		return err
	}
	if err := v.parseForm(); err != nil {
		return err
	}
	reason := v.field("reason")
	moved, err := p.cfg.Desk.Abort(v.r.Context(), v.caller, r.ID, reason)
	if mistake := v.mistake(err); mistake != nil {
		return v.paint(statusOf(fault.KindOf(err)), abortPage(v, abortView{Run: r, Reason: reason, Error: mistake}))
	}
	return v.afterwards(moved, err)
}

// mistake turns what the desk says of a form into what the form shows; nil if
// the form can't mend it.
func (v *visit) mistake(err error) *formError {
	var f *fault.Error
	switch kind := fault.KindOf(err); kind {
	case fault.KindInvalid, fault.KindConflict:
		f = asFault(err)
	case "", fault.KindNotFound, fault.KindDenied, fault.KindUnavailable, fault.KindInternal:
		return nil
	}
	e := &formError{Field: f.Field, Reason: reasonFor(err), English: true}
	if e.Field != "" {
		e.Label = e.Field
		if _, ours := catalogue[v.lang]["field."+e.Field]; ours {
			e.Label = v.T("field." + e.Field)
		}
	}
	return e
}

// runTitle says what a run is.
func (v *visit) runTitle(r run.Run) string {
	if r.Book != nil {
		return v.T("run.book-title", r.Book.Runbook.Name, r.Name)
	}
	return v.T("run.title", r.Name)
}
