package config

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/snoserver/sno/internal/auth"
	"github.com/snoserver/sno/internal/hub"
)

func TestDev(t *testing.T) {
	c := Dev("somewhere", secret)
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	a, err := auth.New(c.AuthApps())
	if err != nil {
		t.Fatal(err)
	}
	if g, err := a.Key("dev", secret); err != nil || g.App != "dev" {
		t.Errorf("key: %+v, %v", g, err)
	}
	g, err := a.Anonymous("")
	if err != nil {
		t.Fatal(err)
	}
	for action, allowed := range map[hub.Action]bool{hub.ActionSubscribe: true, hub.ActionPublish: true, hub.ActionPresence: true, hub.ActionHistory: true, hub.ActionAdmin: false} {
		if err := g.Authorise(action, "any:thing", &hub.DefaultRule); (err == nil) != allowed {
			t.Errorf("%s: %v", action, err)
		}
	}
	if !c.Dev || c.Data != "somewhere" || !strings.HasPrefix(c.Listen[0], "127.0.0.1:") {
		t.Errorf("got %+v", c)
	}
}

func TestDevSecretIsMadeOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "data")
	secrets := make([]string, 8)
	var all sync.WaitGroup
	for i := range secrets {
		all.Go(func() {
			s, err := DevSecret(dir)
			if err != nil {
				t.Error(err)
			}
			secrets[i] = s
		})
	}
	all.Wait()
	for _, s := range secrets {
		if len(s) != 43 || s != secrets[0] {
			t.Fatalf("not one secret of 43 characters: %q", secrets)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "dev-secret"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("left behind: %v, %v", files, err)
	}
	if other, err := DevSecret(t.TempDir()); err != nil || other == secrets[0] {
		t.Errorf("another directory has %q, %v", other, err)
	}
}

func TestDevSecretThatIsNone(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "dev-secret"), []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := DevSecret(dir); err == nil || !strings.Contains(err.Error(), "holds 5 characters") || strings.Contains(err.Error(), "short") {
		t.Errorf("got %q, %v", s, err)
	}
}
