package local

import (
	"errors"
	"testing"
)

// A compaction behind a closed fence would read what another instance has written since under the numbers of its tables.
func TestNoCompactionBehindAClosedFence(t *testing.T) {
	l := mustOpen(t, Options{Dir: t.TempDir(), Logger: quiet})
	in := l.inst.Load()
	if n := in.frugal.db.GetAllowedWithoutPermission(); n == 0 {
		t.Fatal("no compaction is allowed of a store that is well")
	}
	in.fence.fail(errors.New("the disk is gone"))
	if n := in.frugal.db.GetAllowedWithoutPermission(); n != 0 {
		t.Errorf("%d compactions are allowed behind a closed fence", n)
	}
}
