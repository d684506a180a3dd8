package rollout

import (
	"fmt"
	"time"

	"upkeep/internal/plan"
)

// Code is why an environment waits. The codes are part of the public interface.
type Code string

// The reasons for waiting.
const (
	PausedBy      Code = "paused"       // By: the person
	Vetoed        Code = "veto"         // By: the person; What: the reason
	FailedThere   Code = "failed"       // By: the environment; What: why
	HaltedThere   Code = "halted"       // By: the environment; What: why
	NotSoaked     Code = "soak"         // By: the parent, or itself; Until: the soak's end, zero if it has not begun
	OtherDigests  Code = "digests"      // By: the parent, whose digests are not the release's
	IssueOpen     Code = "issue"        // By: the issue; What: its text
	PathRefused   Code = "path"         // What: why
	NotApproved   Code = "approval"     // Have, Need
	WindowClosed  Code = "window"       // Until: when it opens; zero: never
	Frozen        Code = "freeze"       // What: the freeze; Until: its end
	RegionBusy    Code = "region"       // By: the other region
	ServiceBusy   Code = "claim"        // By: the run; What: the service
	GateFailed    Code = "gate"         // By: the gate; What: what it said; Until: when it is asked again
	GateUndecided Code = "inconclusive" // By: the gate; What: what it said
	GateAsked     Code = "asking"       // By: the gate
	RunUnderWay   Code = "under-way"    // By: the run; What: its phase or gate
	RunWaits      Code = "run-waits"    // By: the run; What: its phase; Run: why it waits, until Until
	CantOpen      Code = "unfit"        // What: why a run can't be opened
)

// Reason is why one environment waits: a code, and what is needed to say it.
type Reason struct {
	Code       Code
	By         string
	What       string
	Until      time.Time
	Have, Need int
	Run        plan.Reason // of a run that waits: its own reason
}

// Wait is an environment that waits, and why.
type Wait struct {
	Environment string
	Reason      Reason
}

// Words says the reason in a sentence, in lang ("de", else English), with
// times in zone.
func (r Reason) Words(lang string, zone *time.Location) string {
	at := r.Until.In(zone).Format("2006-01-02 15:04:05 MST")
	say := func(en, de string, args ...any) string {
		if lang == "de" {
			return fmt.Sprintf(de, args...)
		}
		return fmt.Sprintf(en, args...)
	}
	switch r.Code { //nolint:exhaustive // the others are said in gateWords
	case PausedBy:
		return say("paused by %s", "angehalten von %s", r.By)
	case Vetoed:
		return say("%s vetoes the release: %s", "%s hat ein Veto gegen das Release eingelegt: %s", r.By, r.What)
	case FailedThere:
		return say("environment %s has failed: %s", "Umgebung %s ist fehlgeschlagen: %s", r.By, r.What)
	case HaltedThere:
		return say("the run in environment %s is halted: %s", "der Lauf in Umgebung %s steht: %s", r.By, r.What)
	case NotSoaked:
		if r.Until.IsZero() {
			return say("the release has not soaked in %s", "das Release hat sich in %s noch nicht bewährt", r.By)
		}
		return say("the release soaks in %s until %s", "das Release bewährt sich in %s bis %s", r.By, at)
	case OtherDigests:
		return say("%s does not have the digests of the release", "%s hat nicht die Digests des Release", r.By)
	case IssueOpen:
		return say("known issue %s is to be acknowledged: %s", "bekanntes Problem %s ist zu bestätigen: %s", r.By, r.What)
	case PathRefused:
		return say("the release path is not allowed: %s", "der Release-Pfad ist nicht erlaubt: %s", r.What)
	case NotApproved:
		return say("%d of %d approvals of this plan are there", "%d von %d Freigaben dieses Plans liegen vor", r.Have, r.Need)
	case WindowClosed:
		if r.Until.IsZero() {
			return say("the window is closed and does not open again", "das Fenster ist geschlossen und öffnet nicht mehr")
		}
		return say("the window is closed; it opens %s", "das Fenster ist geschlossen; es öffnet %s", at)
	case Frozen:
		return say("a freeze is in force until %s: %s", "es gilt ein Änderungsstopp bis %s: %s", at, r.What)
	case RegionBusy:
		return say("one region at a time: %s is at work", "eine Region nach der anderen: an %s wird gearbeitet", r.By)
	case ServiceBusy:
		return say("run %s is working on service %s", "Lauf %s arbeitet am Dienst %s", r.By, r.What)
	}
	return r.gateWords(lang, zone, say)
}

// gateWords says the reasons that lie with gates and runs.
func (r Reason) gateWords(lang string, zone *time.Location, say func(en, de string, args ...any) string) string {
	switch r.Code { //nolint:exhaustive // the others are said in Words
	case GateFailed:
		return say("gate %s does not pass: %s; it is asked again %s", "Prüfung %s besteht nicht: %s; sie wird %s wieder gefragt", r.By, r.What, r.Until.In(zone).Format("2006-01-02 15:04:05 MST"))
	case GateUndecided:
		return say("gate %s is inconclusive, and a person decides: %s", "Prüfung %s ist nicht eindeutig, ein Mensch entscheidet: %s", r.By, r.What)
	case GateAsked:
		return say("gate %s is being asked", "Prüfung %s wird gefragt", r.By)
	case RunUnderWay:
		return say("run %s of %s is under way", "Lauf %s von %s ist im Gange", r.By, r.What)
	case RunWaits:
		return say("run %s of %s waits: %s", "Lauf %s von %s wartet: %s", r.By, r.What, r.Run.Words(lang, zone))
	case CantOpen:
		return say("its run can't be opened: %s", "sein Lauf kann nicht beginnen: %s", r.What)
	}
	return string(r.Code)
}
