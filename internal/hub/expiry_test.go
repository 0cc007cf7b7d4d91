package hub

import (
	"testing"
	"time"
)

// TestExpireLooksAtTheGrant: a session whose time had come goes on if it has got another grant before it was told.
func TestExpireLooksAtTheGrant(t *testing.T) {
	for name, test := range map[string]struct {
		grant Grant
		ends  bool
	}{
		"over":               {Grant{Expires: time.Now().Add(-time.Second)}, true},
		"over, in its grace": {Grant{Expires: time.Now().Add(-time.Second), Grace: time.Hour}, false},
		"fresh":              {Grant{Expires: time.Now().Add(time.Hour)}, false},
		"one without end":    {Grant{}, false},
	} {
		s := &Session{grant: &test.grant, waker: WakeFunc(func() {})}
		s.expire()
		if ended := s.why != nil; ended != test.ends {
			t.Errorf("%s: ended is %v, want %v", name, ended, test.ends)
		}
	}
}
