package plan

import (
	"fmt"
	"strings"
	"time"
)

// Code is why something waits. The codes are part of the public interface.
type Code string

// The reasons for waiting.
const (
	WindowClosed Code = "window-closed" // Until: when it opens; zero if it never does again
	DoesNotFit   Code = "does-not-fit"  // Need does not fit into Left; Until: the next occurrence
	NeverFits    Code = "never-fits"    // Need is longer than the whole window
	Frozen       Code = "freeze"        // By: the freeze; Until: its end
	Claimed      Code = "claim"         // By: the run that holds the claim on What; Name: what it works on
	Held         Code = "held"          // By: who holds the claim on What by hand; Name: what for; Until: its end, zero if it is to be released
	BudgetUsed   Code = "budget"        // By: the members that are down
	QuorumAtRisk Code = "quorum"        // By: the members that are down; What: of another service than the run's own
	Stale        Code = "stale"         // What: the fact that is missing or older than the last action
	NotYet       Code = "not-yet"       // What: the fact that is known not to hold
	After        Code = "after"         // By: the step or member that comes first
	Stopped      Code = "stopped"       // By: the step that failed
	Paused       Code = "paused"        // By: the person
	Aborting     Code = "aborting"      // By: the person
	NoNotice     Code = "notice"        // Until: when the notice is old enough; zero: none is published
	Backoff      Code = "backoff"       // Until: when it is tried again
	UnderWay     Code = "under-way"     // it has been ordered; Since: when
	NotFetched   Code = "not-fetched"   // it has been ordered and the host has not asked for it; Since: when
	Silent       Code = "silent"        // it has been ordered and should have been answered; Since: when it was ordered
	MissedStart  Code = "missed"        // the window's start was missed and its schedule says skip; Until: the next one
	CanaryFirst  Code = "canary"        // By: the member that must be updated, and run well until Until, first
	GroupStopped Code = "group-stopped" // By: the members whose newest updates failed
)

// Reason is why one thing waits: a code, and what is needed to say it.
type Reason struct {
	Code  Code
	By    string
	Name  string // of By, for people
	What  string
	Thing string // what What is called, for people
	Since time.Time
	Until time.Time
	Need  time.Duration
	Left  time.Duration
}

// Wait is a step that waits, and why.
type Wait struct {
	Step   string
	Reason Reason
}

// Words says the reason in a sentence, in lang ("de", else English), with
// times in zone.
func (r Reason) Words(lang string, zone *time.Location) string {
	at := func(t time.Time) string { return t.In(zone).Format("2006-01-02 15:04:05 MST") }
	say := func(en, de string, args ...any) string {
		if lang == "de" {
			return fmt.Sprintf(de, args...)
		}
		return fmt.Sprintf(en, args...)
	}
	switch r.Code { //nolint:exhaustive // the others are said in othersWords
	case WindowClosed:
		if r.Until.IsZero() {
			return say("the window is closed and does not open again", "das Fenster ist geschlossen und öffnet nicht mehr")
		}
		return say("the window is closed; it opens %s", "das Fenster ist geschlossen; es öffnet %s", at(r.Until))
	case DoesNotFit:
		s := say("it needs about %s and only %s of the window are left", "es braucht etwa %s, und vom Fenster bleiben nur %s", Round(r.Need), Round(r.Left))
		if r.Until.IsZero() {
			return s
		}
		return s + say("; the next one opens %s", "; das nächste öffnet %s", at(r.Until))
	case NeverFits:
		return say("it needs about %s and the whole window has only %s: make the window longer", "es braucht etwa %s, und das ganze Fenster hat nur %s: das Fenster verlängern", Round(r.Need), Round(r.Left))
	case Frozen:
		return say("a freeze is in force until %s: %s", "es gilt ein Änderungsstopp bis %s: %s", at(r.Until), r.By)
	case Claimed:
		if r.Name != "" {
			return say("run %s of %s is working on %s", "Lauf %s von %s arbeitet an %s", r.By, r.Name, r.claimWords())
		}
		return say("run %s is working on %s", "Lauf %s arbeitet an %s", r.By, r.claimWords())
	case BudgetUsed:
		return say("as many members are down as may be: %s", "so viele Mitglieder wie erlaubt sind außer Betrieb: %s", r.By)
	case QuorumAtRisk:
		if r.What != "" && r.By == "" {
			return say("service %s needs every member that it has on this server", "der Dienst %s braucht jedes Mitglied, das er auf diesem Server hat", r.What)
		}
		if r.What != "" {
			return say("service %s needs the server: members that are down or worked on: %s", "der Dienst %s braucht den Server: außer Betrieb oder in Arbeit sind %s", r.What, r.By)
		}
		return say("one member less and the quorum is gone; down: %s", "ein Mitglied weniger, und das Quorum ist verloren; außer Betrieb: %s", r.By)
	case Stale:
		if r.What == FactFigures {
			return r.figuresWords(say, at)
		}
		return say("what is known of %q is older than the last action", "was über %q bekannt ist, ist älter als die letzte Handlung", r.What)
	case NotYet:
		if words := r.askWords(say, at); words != "" {
			return words
		}
		return say("%q does not hold yet", "%q gilt noch nicht", r.What)
	case After:
		return say("it comes after %s", "es kommt nach %s", r.By)
	case Stopped:
		return say("step %s failed, so nothing more is started", "Schritt %s ist fehlgeschlagen, darum wird nichts mehr begonnen", r.By)
	case Paused:
		return say("paused by %s", "angehalten von %s", r.By)
	case Aborting:
		return say("aborted by %s", "abgebrochen von %s", r.By)
	case NoNotice:
		if r.Until.IsZero() {
			return say("no notice has been published", "es ist keine Ankündigung veröffentlicht")
		}
		return say("the notice must be out until %s first", "die Ankündigung muss erst bis %s bestehen", at(r.Until))
	case Backoff:
		return say("it is tried again at %s", "es wird um %s noch einmal versucht", at(r.Until))
	case UnderWay:
		return say("under way since %s", "läuft seit %s", at(r.Since))
	case NotFetched:
		return say("ordered at %s; the server has not fetched it: is its agent running, and does it reach us?", "beauftragt um %s; der Server hat es noch nicht abgeholt: läuft sein Agent, und erreicht er uns?", at(r.Since))
	case Silent:
		return say("ordered at %s; the host has not answered yet", "beauftragt um %s; der Host hat noch nicht geantwortet", at(r.Since))
	}
	return r.othersWords(say, at)
}

// Approval is the step for which a person's approval is waited for, if it is.
func (r Reason) Approval() (step string, ok bool) {
	if r.Code != NotYet {
		return "", false
	}
	return strings.CutPrefix(r.What, FactApproved)
}

// askWords says what a person or time must do first; empty if it is neither.
func (r Reason) askWords(say func(en, de string, args ...any) string, at func(time.Time) string) string {
	switch {
	case strings.HasPrefix(r.What, FactApproved):
		return say("it waits until a person approves it", "es wartet, bis jemand es freigibt")
	case r.What == FactWatched && r.Until.IsZero():
		return say("it is first seen how the service answers with all its members", "erst wird gesehen, wie der Dienst mit allen Mitgliedern antwortet")
	case r.What == FactWatched:
		return say("until %s it is seen how the service answers with all its members", "bis %s wird gesehen, wie der Dienst mit allen Mitgliedern antwortet", at(r.Until))
	case r.What == FactFigures || r.What == FactBudget:
		return say("the error budget is used up: %s", "das Fehlerbudget ist aufgebraucht: %s", r.By)
	case strings.HasPrefix(r.What, FactSoaked) && r.Until.IsZero():
		return say("it waits for some time without trouble", "es wartet auf eine Zeit ohne Störung")
	case r.By != "":
		return say("%q does not hold: %s", "%q gilt nicht: %s", r.What, r.By)
	case strings.HasPrefix(r.What, FactSoaked):
		return say("it waits until %s, for time to tell", "es wartet bis %s, was die Zeit zeigt", at(r.Until))
	}
	return ""
}

// figuresWords says since when nobody knows how the service answers.
func (r Reason) figuresWords(say func(en, de string, args ...any) string, at func(time.Time) string) string {
	if r.Since.IsZero() {
		return say("it is not known yet how the service answers its users", "noch ist nicht bekannt, wie der Dienst seinen Nutzern antwortet")
	}
	return say("how the service answers its users is known until %s only", "wie der Dienst seinen Nutzern antwortet, ist nur bis %s bekannt", at(r.Since))
}

// othersWords says the reasons that lie with a schedule or with other servers.
func (r Reason) othersWords(say func(en, de string, args ...any) string, at func(time.Time) string) string {
	switch r.Code { //nolint:exhaustive // the others are said in Words
	case Held:
		if r.Until.IsZero() {
			return say("%s holds %s until it is released: %s", "%s hält %s, bis es freigegeben wird: %s", r.By, r.claimWords(), r.Name)
		}
		return say("%s holds %s until %s at the latest: %s", "%s hält %s bis spätestens %s: %s", r.By, r.claimWords(), at(r.Until), r.Name)
	case MissedStart:
		s := say("the server was not ready when the window opened, and its schedule leaves a missed start to the next window",
			"der Server war nicht bereit, als das Fenster öffnete, und sein Zeitplan überlässt einen verpassten Beginn dem nächsten Fenster")
		if r.Until.IsZero() {
			return s
		}
		return s + say("; that opens %s", "; das öffnet %s", at(r.Until))
	case CanaryFirst:
		if r.Until.IsZero() {
			return say("canary %s must be updated well first", "zuerst muss der Vorreiter %s erfolgreich aktualisiert sein", r.By)
		}
		return say("canary %s must run well until %s first", "zuerst muss der Vorreiter %s bis %s gut gelaufen sein", r.By, at(r.Until))
	case GroupStopped:
		return say("too many updates in its group failed: %s. Mend them and update them again; then the others go on",
			"zu viele Aktualisierungen in seiner Gruppe sind fehlgeschlagen: %s. Dort beheben und neu aktualisieren; dann geht es bei den anderen weiter", r.By)
	}
	return string(r.Code)
}

// Round shortens a duration for a reader: to seconds, or to minutes from an hour on.
func Round(d time.Duration) string {
	if d >= time.Hour {
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return d.Round(time.Second).String()
}

// Count says how many there are of a thing: "1 package", "2 packages".
func Count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// claimWords is what is claimed.
func (r Reason) claimWords() string {
	key := r.What
	if r.Thing != "" {
		return r.Thing
	}
	if i := strings.LastIndexByte(key, '/'); i >= 0 {
		return strings.SplitN(key, "/", 2)[0] + " " + key[i+1:]
	}
	return key
}
