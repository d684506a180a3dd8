// Package sim is the proof: the real control plane (store, engine, hub, desk)
// on a real SQLite file, and the real agents on pretended hosts, live for weeks
// in one testing/synctest bubble under seeded faults: crashes before and after
// any commit and at any write of an agent's journal, power cuts, lost and
// doubled answers, failing and slow packages, dead repositories, two replicas
// at once. The rules of the house are its assertions.
//
// A failing seed is printed; "make simulate UPKEEP_SIM_SEED=n" repeats it, and
// it then belongs into the list of seeds that stay.
package sim
