package certificate

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snoserver/sno/internal/certificate/certificatetest"
)

// TestFilesAreReadAgain: files that change are seen within a minute; broken ones change nothing and are named in the log.
func TestFilesAreReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, year := t.TempDir(), time.Now().Add(365*24*time.Hour)
		cert, key := certificatetest.Write(t, dir, "one", year, time.Now())
		var log bytes.Buffer
		f, err := NewFiles(cert, key, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		go f.Run(t.Context())
		name := func() string {
			time.Sleep(pollEvery)
			synctest.Wait()
			c, err := f.TLS().GetCertificate(&tls.ClientHelloInfo{})
			if err != nil {
				t.Fatal(err)
			}
			return c.Leaf.Subject.CommonName
		}
		if got := name(); got != "one" {
			t.Errorf("got %s", got)
		}
		certificatetest.Write(t, dir, "two", year, time.Now())
		if got := name(); got != "two" {
			t.Errorf("after a change: %s", got)
		}
		certificatetest.Put(t, cert, []byte("half a fi"), time.Now())
		for range 3 {
			if got := name(); got != "two" {
				t.Errorf("after a broken file: %s", got)
			}
		}
		if n := strings.Count(log.String(), "the new certificate is refused"); n != 1 {
			t.Errorf("it was logged %d times", n)
		}
		certificatetest.Write(t, dir, "three", year, time.Now())
		if got := name(); got != "three" || !f.Expires().Equal(year.Truncate(time.Second)) {
			t.Errorf("after a right one: %s until %s", got, f.Expires())
		}
	})
}

func TestFilesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificatetest.Write(t, dir, "old", time.Now().Add(-time.Hour), time.Now())
	if _, err := NewFiles(cert, key, slog.Default()); err == nil || !strings.Contains(err.Error(), "has expired on") {
		t.Errorf("an old one: %v", err)
	}
	if _, err := NewFiles(cert, filepath.Join(dir, "none"), slog.Default()); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("no key: %v", err)
	}
	if _, err := NewFiles(key, key, slog.Default()); err == nil {
		t.Error("a key is no certificate")
	}
}
