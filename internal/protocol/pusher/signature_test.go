package pusher

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// vectorKey and vectorSecret are those of Pusher's documentation (library_auth_reference/rest-api, auth-signatures).
const (
	vectorKey    = "278d425bdf160c739803"
	vectorSecret = "7ad3773142a6692b25b8"
)

func TestRequestVector(t *testing.T) {
	s, err := parseQuery("body_md5=ec365a775a4cd0599faeb73354201b6f&AUTH_VERSION=1.0&auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c&auth_key=" + vectorKey + "&auth_timestamp=1353088179")
	if err != nil {
		t.Fatal(err)
	}
	text := string(s.appendText(nil, "POST", "/apps/3/events"))
	if want := "POST\n/apps/3/events\nauth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0&body_md5=ec365a775a4cd0599faeb73354201b6f"; text != want {
		t.Errorf("got  %q\nwant %q", text, want)
	}
	if got := mac(text); got != s.mac {
		t.Errorf("got %s, want %s", got, s.mac)
	}
}

// The texts that a channel and a user are signed by are those that give the documentation's signatures.
func TestSignatureVectors(t *testing.T) {
	for text, want := range map[string]string{
		"1234.1234:private-foobar":          "58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4",
		`1234.1234::user::{"id":"12345"}`:   "4708d583dada6a56435fb8bc611c77c359a31eebde13337c16ab43aa6de336ba",
		"1234.1234:presence-foobar:" + me(): "31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80",
	} {
		if got := mac(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func me() string { return `{"user_id":10,"user_info":{"name":"Mr. Channels"}}` }

func mac(text string) string {
	h := hmac.New(sha256.New, []byte(vectorSecret))
	h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil))
}

func TestParseQuery(t *testing.T) {
	s, err := parseQuery("b=1&A=x%20y+z&info=user_count&c=%C3%BC&info=cache&d&auth_signature=ff")
	if err != nil || s.mac != "ff" {
		t.Fatal(s, err)
	}
	if got, want := string(s.appendText(nil, "GET", "/p")), "GET\n/p\na=x y z&b=1&c=ü&d=&info=user_count,cache"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, bad := range []string{"a=%zz", "%=1", strings.Repeat("x&", 40) + strings.Join(names(40), "&")} {
		if _, err := parseQuery(bad); err == nil {
			t.Errorf("%.40s is taken", bad)
		}
	}
}

func names(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprint("n", i, "=1"))
	}
	return all
}

func FuzzParseQuery(f *testing.F) {
	f.Add("auth_key=a&auth_signature=b")
	f.Add("a=%41&A=1&&=")
	f.Fuzz(func(t *testing.T, raw string) {
		s, err := parseQuery(raw)
		if err != nil {
			return
		}
		for i := 1; i < len(s.params); i++ {
			if s.params[i-1].name >= s.params[i].name {
				t.Fatalf("%q: %q is not before %q", raw, s.params[i-1].name, s.params[i].name)
			}
		}
	})
}

func signatureAt(n int64, i int) *signature {
	return &signature{time: n, mac: fmt.Sprintf("%032x%032x", i, 0)}
}

func TestReplays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r replays
		s := signatureAt(time.Now().Unix(), 1)
		check := func(want bool) {
			t.Helper()
			if used, err := r.used(s); used != want || err != nil {
				t.Errorf("after %s: %v, %v; want %v", time.Now().Format("04:05"), used, err, want)
			}
		}
		check(false)
		r.remember(s)
		check(false) // a library that sends the same at once means it
		time.Sleep((soon + 1) * time.Second)
		check(true)
		r.remember(s) // a third time
		check(true)
		time.Sleep((window - soon - 2) * time.Second)
		check(true)
		time.Sleep(3 * time.Second) // its time has expired; verify says so before anybody asks here
		r.remember(signatureAt(time.Now().Unix(), 2))
		if r.n != 1 {
			t.Errorf("%d are remembered, want 1", r.n)
		}
	})
}

// What is remembered is bounded, and what had to be forgotten does not count any more.
func TestReplaysAreBounded(t *testing.T) {
	var r replays
	now := time.Now().Unix()
	for i := range maxReplays + 10 {
		r.remember(signatureAt(now-int64(i/(maxReplays/8)), i))
	}
	if r.n > maxReplays {
		t.Errorf("%d are remembered, the limit is %d", r.n, maxReplays)
	}
	if _, err := r.used(signatureAt(now-8, 0)); err == nil {
		t.Error("a time that has been forgotten is taken")
	}
	if _, err := r.used(signatureAt(now, 1<<30)); err != nil {
		t.Error(err)
	}
}
