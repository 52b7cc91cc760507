package txn_test

import (
	"fmt"
	"slices"
	"testing"
)

// This is the protocol as a model, over all interleavings of two writers and a cleaner with crashes and lost answers: what the code relies
// on, proven apart from it. Writers commit one offset at a time. The lease variant, which takes no HEAD, must fail here.

type modelAttempt struct {
	offset              int
	inTimeline, deleted bool
}

type modelWriter struct {
	at      int // 0 idle, 1 has read HEAD, 2 has uploaded, 3 has committed, 4 does not know
	seen    int // HEAD's version when read
	attempt int // index, -1 none
	redo    int // attempt whose instant is missing, as read from HEAD
	crashes int
}

type modelState struct {
	version, next int
	last          int // attempt of the last commit, -1 none
	attempts      [modelAttempts]modelAttempt
	count         int
	writers       [2]modelWriter
}

const modelAttempts = 4

// modelRules switches parts of the protocol off, to see that the model notices.
type modelRules struct{ cas, redo, fence bool }

// explore visits every state and returns what is wrong in the first that is.
func explore(rules modelRules) (states int, wrong string) {
	start := modelState{last: -1}
	for i := range start.writers {
		start.writers[i].attempt, start.writers[i].redo = -1, -1
	}
	seen := map[modelState]bool{start: true}
	for queue := []modelState{start}; len(queue) > 0; {
		s := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if wrong := s.check(); wrong != "" {
			return len(seen), wrong
		}
		for _, n := range append(s.steps(0, rules), append(s.steps(1, rules), s.clean(rules)...)...) {
			if !seen[n] {
				seen[n] = true
				queue = append(queue, n)
			}
		}
	}
	return len(seen), ""
}

// check is what must hold in every state.
func (s modelState) check() string {
	var offsets []int
	for _, a := range s.attempts[:s.count] {
		if !a.inTimeline {
			continue
		}
		if a.deleted {
			return fmt.Sprintf("the instant of offset %d is there, its files are not", a.offset)
		}
		offsets = append(offsets, a.offset)
	}
	slices.Sort(offsets)
	for i, o := range offsets {
		if o != i {
			return fmt.Sprintf("offsets %v on the timeline", offsets)
		}
	}
	return ""
}

// steps are what writer i may do next.
func (s modelState) steps(i int, rules modelRules) []modelState {
	var next []modelState
	add := func(change func(n *modelState, w *modelWriter)) {
		n := s
		change(&n, &n.writers[i])
		next = append(next, n)
	}
	w := s.writers[i]
	if w.at != 0 && w.crashes < 2 {
		add(func(_ *modelState, w *modelWriter) { *w = modelWriter{attempt: -1, redo: -1, crashes: w.crashes + 1} })
	}
	switch w.at {
	case 0: // read HEAD
		add(func(n *modelState, w *modelWriter) {
			w.at, w.seen, w.redo = 1, n.version, n.last
			if !rules.redo {
				w.redo = -1
			}
		})
	case 1: // redo the last instant from HEAD, then upload
		if s.count == modelAttempts {
			break
		}
		add(func(n *modelState, w *modelWriter) {
			if w.redo >= 0 {
				n.attempts[w.redo].inTimeline = true
			}
			w.at, w.attempt = 2, n.count
			n.attempts[n.count] = modelAttempt{offset: n.next}
			n.count++
		})
	case 2: // replace HEAD: refused, done, or done with the answer lost
		if rules.cas && s.version != w.seen {
			add(func(_ *modelState, w *modelWriter) { w.at, w.attempt = 0, -1 })
			break
		}
		for _, at := range []int{3, 4} {
			add(func(n *modelState, w *modelWriter) {
				n.version++
				n.next, n.last, w.at = n.attempts[w.attempt].offset+1, w.attempt, at
			})
		}
	case 3: // put the instant
		add(func(n *modelState, w *modelWriter) {
			n.attempts[w.attempt].inTimeline = true
			w.at, w.attempt = 0, -1
		})
	case 4: // look for the own commit in HEAD; the history is long enough here
		add(func(_ *modelState, w *modelWriter) { w.at = 3 })
	}
	return next
}

// clean lets a cleaner delete the files of an attempt that HEAD does not own: it moves HEAD first.
func (s modelState) clean(rules modelRules) []modelState {
	var next []modelState
	for i, a := range s.attempts[:s.count] {
		if a.deleted || a.offset < s.next { // HEAD went past it: it is committed, or another is in its place
			continue
		}
		n := s
		n.attempts[i].deleted = true
		if rules.fence {
			n.version++
		}
		next = append(next, n)
	}
	return next
}

func TestModel(t *testing.T) {
	t.Parallel()
	states, wrong := explore(modelRules{cas: true, redo: true, fence: true})
	if wrong != "" || states < 1000 {
		t.Errorf("%d states, %s", states, wrong)
	}
	t.Logf("%d states", states)
	for name, rules := range map[string]modelRules{
		"without compare and swap": {redo: true, fence: true},
		"without redo":             {cas: true, fence: true},
		"without fence":            {cas: true, redo: true},
	} {
		if _, wrong := explore(rules); wrong == "" {
			t.Errorf("%s: the model sees nothing wrong", name)
		}
	}
}
