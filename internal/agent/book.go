package agent

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/wire"
)

// Limits of the book.
const (
	// keepAcknowledged is how many acknowledged answers of older generations
	// are kept, in case they are asked for again.
	keepAcknowledged = 32
	// maxOrders bounds the orders that are known at one time.
	maxOrders = 1024
	maxKey    = 512 // bytes
)

// Stage is how far an order is.
type Stage string

// The stages of an order.
const (
	Waiting      Stage = "waiting"      // received
	Begun        Stage = "begun"        // it may have been begun; it is never begun again
	Ended        Stage = "ended"        // it has its answer
	Acknowledged Stage = "acknowledged" // the control plane has the answer
)

// Record is what the journal keeps of one order. It is written as JSON.
type Record struct {
	Key     string          `json:"key"`
	Seq     int64           `json:"seq"` // in order of receipt
	Order   wire.Order      `json:"order"`
	Stage   Stage           `json:"stage"`
	BootID  string          `json:"bootId,omitempty"` // the boot in which it was begun
	Started time.Time       `json:"started,omitzero"` // by the host's clock
	Memo    json.RawMessage `json:"memo,omitempty"`   // what Hands.Prepare read
	EndSeq  int64           `json:"endSeq,omitempty"` // in order of ending, from 1
	Answer  *wire.Answer    `json:"answer,omitempty"` // from Ended on
}

// book is the journal with its rules, and a copy of it in memory. A rule
// changes the copy only after the journal has kept the change.
//
// An order is forgotten only when a newer generation has been seen, for then
// it would be refused if it came again: nothing is done twice, however old.
type book struct {
	mu      sync.Mutex
	journal Journal
	records map[string]Record
	again   map[string]bool // acknowledged, but asked for again
	newest  int64           // generation
	before  string          // the last order that ended before this book's first
	seq     int64
	endSeq  int64
}

func openBook(j Journal, before string) (*book, error) {
	all, err := j.Load()
	if err != nil {
		return nil, err
	}
	b := &book{journal: j, before: before, records: map[string]Record{}, again: map[string]bool{}}
	for _, r := range all {
		b.keep(r)
	}
	return b, nil
}

// keep takes a record that the journal has.
func (b *book) keep(r Record) {
	b.records[r.Key] = r
	b.newest = max(b.newest, r.Order.Generation)
	b.seq = max(b.seq, r.Seq)
	b.endSeq = max(b.endSeq, r.EndSeq)
}

func (b *book) save(r Record) error {
	if err := b.journal.Save(r); err != nil {
		return err
	}
	b.keep(r)
	return nil
}

// accept takes an order. It reports false for one that is known already, whose
// answer, if it has one, is then sent again.
func (b *book) accept(o wire.Order) (isNew bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if known, ok := b.records[o.Key]; ok {
		if known.Stage == Acknowledged {
			b.again[o.Key] = true
		}
		return false, nil
	}
	if o.Key == "" || len(o.Key) > maxKey {
		return false, fmt.Errorf("its key has %d bytes, 1 to %d are possible", len(o.Key), maxKey)
	}
	if len(b.records) >= maxOrders {
		return false, fmt.Errorf("%d orders are known already", len(b.records))
	}
	return true, b.save(Record{Key: o.Key, Seq: b.seq + 1, Order: o, Stage: Waiting})
}

// begin writes down that an order is about to be begun.
func (b *book) begin(key, bootID string, now time.Time, memo json.RawMessage) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, ok := b.records[key]
	if !ok || r.Stage != Waiting {
		return fmt.Errorf("order %s can't begin: it is %q", key, r.Stage)
	}
	r.Stage, r.BootID, r.Started, r.Memo = Begun, bootID, now.Round(0), memo
	return b.save(r)
}

// end writes an answer down.
func (b *book) end(key string, answer wire.Answer) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, ok := b.records[key]
	if !ok || r.Answer != nil {
		return fmt.Errorf("order %s can't end: it is %q", key, r.Stage)
	}
	r.Stage, r.Memo, r.EndSeq, r.Answer = Ended, nil, b.endSeq+1, &answer
	return b.save(r)
}

// acknowledge notes that the control plane has an answer. It knows nothing of
// orders that have none.
func (b *book) acknowledge(key string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.again, key)
	r, ok := b.records[key]
	if !ok || r.Stage != Ended {
		return nil
	}
	r.Stage = Acknowledged
	return b.save(r)
}

// forgettable lists the orders that need not be known any more.
func (b *book) forgettable() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	last := b.last()
	var old []Record
	for _, r := range b.records {
		if r.Stage == Acknowledged && r.Order.Generation < b.newest && r.Key != last && !b.again[r.Key] {
			old = append(old, r)
		}
	}
	if len(old) <= keepAcknowledged {
		return nil
	}
	slices.SortFunc(old, func(x, y Record) int { return cmp.Compare(x.EndSeq, y.EndSeq) })
	var keys []string
	for _, r := range old[:len(old)-keepAcknowledged] {
		keys = append(keys, r.Key)
	}
	return keys
}

func (b *book) forget(key string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.journal.Delete(key); err != nil {
		return err
	}
	delete(b.records, key)
	return nil
}

// next is the oldest order without an answer: one that was begun first.
func (b *book) next() (Record, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var best Record
	for _, r := range b.records {
		if r.Answer != nil {
			continue
		}
		begun, bestBegun := r.Stage == Begun, best.Stage == Begun
		if best.Key == "" || begun && !bestBegun || begun == bestBegun && r.Seq < best.Seq {
			best = r
		}
	}
	return best, best.Key != ""
}

// unsent lists the answers that are not acknowledged, in order of ending, at
// most n.
func (b *book) unsent(n int) []wire.Answer {
	b.mu.Lock()
	defer b.mu.Unlock()
	var open []Record
	for _, r := range b.records {
		if r.Stage == Ended || b.again[r.Key] {
			open = append(open, r)
		}
	}
	slices.SortFunc(open, func(x, y Record) int { return cmp.Compare(x.EndSeq, y.EndSeq) })
	var answers []wire.Answer
	for _, r := range open[:min(n, len(open))] {
		answers = append(answers, *r.Answer)
	}
	return answers
}

// holding lists the keys that are not acknowledged, sorted.
func (b *book) holding() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(b.records)) {
		if b.records[key].Stage != Acknowledged || b.again[key] {
			keys = append(keys, key)
		}
	}
	return keys
}

// generation is the newest one seen.
func (b *book) generation() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.newest
}

// lastEnded is the key of the last order that ended; empty if none has.
func (b *book) lastEnded() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last()
}

// last leaves out the expired: they were never started, and whoever gave them
// takes them back.
func (b *book) last() string {
	best := Record{Key: b.before}
	for _, r := range b.records {
		if r.Answer != nil && r.Answer.Outcome != string(action.Expired) && r.EndSeq > best.EndSeq {
			best = r
		}
	}
	return best.Key
}

// started is when an order was begun; zero if it was not.
func (b *book) started(key string) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.records[key].Started
}
