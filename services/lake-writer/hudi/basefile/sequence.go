package basefile

import "strconv"

// sequence is the text of the last _hoodie_commit_seqno, which ends with the row's number, for the next one to be made of.
type sequence struct {
	text []byte
	next int64 // the row whose number is one more than the text's
}

// of is the text of a row, until the next call. Rows mostly come in order, so that the last text is a digit away.
func (s *sequence) of(commitTime string, task int, row int64) []byte {
	if len(s.text) == 0 || s.next != row || !s.count() {
		s.start(commitTime, task, row)
	}
	s.next = row + 1
	return s.text
}

// start makes the text of a row.
func (s *sequence) start(commitTime string, task int, row int64) {
	s.text = append(s.text[:0], commitTime...)
	s.text = strconv.AppendInt(append(s.text, '_'), int64(task), 10)
	s.text = strconv.AppendInt(append(s.text, '_'), row, 10)
}

// reset forgets the text, and with it the commit time.
func (s *sequence) reset() { s.text = s.text[:0] }

// count adds one to the text's number; when it would take another digit, the text is of no use any more.
func (s *sequence) count() bool {
	for i := len(s.text) - 1; s.text[i] != '_'; i-- {
		if s.text[i] < '9' {
			s.text[i]++
			return true
		}
		s.text[i] = '0'
	}
	return false
}
