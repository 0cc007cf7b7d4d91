package problem

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/snoserver/sno/internal/hub"
)

func TestEveryCodeHasAStatus(t *testing.T) {
	for _, i := range hub.Codes {
		if a := answers[i.Code]; http.StatusText(a.status) == "" || a.status < 400 {
			t.Errorf("code %d (%s) has the HTTP status %d", i.Code, i.Name, a.status)
		}
	}
	if len(answers) != len(hub.Codes) {
		t.Errorf("%d statuses for %d codes", len(answers), len(hub.Codes))
	}
}

func TestWrite(t *testing.T) {
	for _, test := range []struct {
		code                  hub.Code
		authorization, retry  string
		status                int
		challenge             string
		members, wantedMember string
	}{
		{hub.CodeOverloaded, "", "1", 503, "", `,"results":[1]`, "results"},
		{hub.CodeRateLimited, "", "1", 429, "", "", ""},
		{hub.CodeUnauthorized, "", "", 401, `Bearer realm="sno"`, "", ""},
		{hub.CodeUnauthorized, "Basic eA==", "", 401, `Basic realm="sno", charset="UTF-8"`, "", ""},
		{hub.CodeTokenExpired, "Bearer x", "", 401, `Bearer realm="sno", error="invalid_token", error_description="expired"`, "", ""},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", test.authorization)
		w := httptest.NewRecorder()
		Write(w, r, hub.Errorf(test.code, "a \"quoted\" text"), []byte(test.members))
		var got map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatalf("%s: %v", w.Body, err)
		}
		if w.Code != test.status || got["status"] != float64(test.status) || got["code"] != float64(test.code) || got["detail"] != "a \"quoted\" text" {
			t.Errorf("%d: %d %s", test.code, w.Code, w.Body)
		}
		if h := w.Header(); h.Get("Retry-After") != test.retry || h.Get("WWW-Authenticate") != test.challenge || h.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%d: %v", test.code, h)
		}
		if _, there := got[test.wantedMember]; test.wantedMember != "" && !there {
			t.Errorf("%d: no %s in %s", test.code, test.wantedMember, w.Body)
		}
	}
}
