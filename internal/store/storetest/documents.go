package storetest

import (
	"fmt"
	"testing"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fleet"
	"upkeep/internal/plan"
	"upkeep/internal/run"
	"upkeep/internal/store"
)

// manyPackages is more than a server has updates for after years.
const manyPackages = 5000

// documents stores what a run over very many packages has to keep.
func documents(t *testing.T, open func(*testing.T) store.DB) {
	db := open(t)
	r := run.Run{ID: "r", Window: Window(time.Sunday), Progress: plan.Progress{}, Made: run.Made{Settled: map[string]string{}, Before: map[string]string{}}}
	target := someTarget("t", "web")
	target.Observed = &action.Observation{System: "Debian"}
	for i := range manyPackages {
		name, version := fmt.Sprintf("a-package-with-a-long-name-%d", i), fmt.Sprintf("1:%d.2.3-4+deb12u1", i)
		target.Observed.Pending = append(target.Observed.Pending, action.Pending{Name: name, From: "1:0-1", To: version, Origin: "Debian-Security:12/stable-security"})
		if i%25 == 0 {
			r.Plan.Root.Children = append(r.Plan.Root.Children, plan.Node{ID: fmt.Sprint(i), Shape: plan.Leaf, Step: plan.Step{ID: fmt.Sprint(i), Action: action.Install}})
			r.Progress[fmt.Sprint(i)] = plan.StepState{Stage: plan.Done, First: start}
		}
		step := &r.Plan.Root.Children[i/25].Step
		step.Packages = append(step.Packages, action.Package{Name: name, Version: version})
		r.Result.Changes = append(r.Result.Changes, action.Change{Name: name, From: "1:0-1", To: version})
		r.Made.Settled[name], r.Made.Before[name] = version, "1:0-1"
	}
	var putRun, gotRun run.Run
	var putTarget, gotTarget fleet.Target
	began := time.Now()
	update(t, db, func(tx store.Tx) (err error) {
		if putRun, err = tx.PutRun(r); err != nil {
			return err
		}
		putTarget, err = tx.PutTarget(target)
		return err
	})
	wrote := time.Now()
	view(t, db, func(tx store.Tx) (err error) {
		if gotRun, err = tx.Run("r"); err != nil {
			return err
		}
		gotTarget, err = tx.Target("t")
		return err
	})
	t.Logf("%d packages: written in %v, read in %v", manyPackages, wrote.Sub(began), time.Since(wrote))
	r.Number, r.Revision, target.Revision = 1, 1, 1
	same(t, "run that was put", putRun, r)
	same(t, "run", gotRun, r)
	same(t, "target that was put", putTarget, target)
	same(t, "target", gotTarget, target)
}
