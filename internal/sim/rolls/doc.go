// Package rolls is the proof of rolling maintenance: several services roll at
// once through a pretended world without a database, tick by tick, under seeded
// faults, fast enough for a hundred thousand runs. What decides is the real
// thing: runbook, plan and run. What is pretended is the world around them: a
// table of claims and orders that behaves as the store's, hosts and balancers
// with a truth of their own, checks that tell what was some seconds ago,
// answers that are late, lost or doubled, ticks that are lost after any
// instant, members that die, persons who take their time.
//
// Judges look at the truth and at what was asked for, never at what the run
// believes. Time jumps from event to event, and everything follows from one
// seed: a failing one is printed, UPKEEP_SIM_SEED repeats it, and it then
// belongs into the list of seeds that stay.
package rolls
