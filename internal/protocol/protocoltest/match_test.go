package protocoltest

import (
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	tests := []struct{ pattern, got, err string }{
		{`{"type":"pong","time":"$int"}`, `{"time":5,"type":"pong"}`, ""},
		{`{"type":"pong","time":"$int"}`, `{"type":"pong"}`, ".time is missing"},
		{`{"type":"pong"}`, `{"type":"pong","client":""}`, ".client is there and should not be"},
		{`{"a?":1}`, `{}`, ""},
		{`{"a?":1}`, `{"a":2}`, ".a: want 1, got 2"},
		{`{"a":"$int"}`, `{"a":-1}`, "want an integer"},
		{`{"a":"$int"}`, `{"a":1.0}`, "want an integer"},
		{`{"a":"$int"}`, `{"a":9007199254740992}`, "want an integer"},
		{`{"a":"$string"}`, `{"a":1}`, "want a string"},
		{`{"a":"$int>old:new"}`, `{"a":8}`, ""},
		{`{"a":"$int>old"}`, `{"a":7}`, "want more than 7"},
		{`{"a":"$=old"}`, `{"a":7}`, ""},
		{`{"a":"$=old"}`, `{"a":8}`, "want 7, got 8"},
		{`{"a":"$int:old"}`, `{"a":7}`, ""},
		{`{"a":"$int:old"}`, `{"a":8}`, "want 7, got 8"},
		{`{"a":"$=nobody"}`, `{"a":8}`, "before it is captured"},
		{`{"data":{"a": 1.0e2}}`, `{"data":{"a": 1.0e2}}`, ""},
		{`{"data":{"a": 1.0e2}}`, `{"data":{"a":1.0e2}}`, ".data: want"},
		{`{"data":{"a":100}}`, `{"data":{"a":1.0e2}}`, ".data: want"},
		{`{"ref":1}`, `{"ref":1.0}`, ".ref: want 1, got 1.0"},
		{`{"a":"é"}`, `{"a":"\u00e9"}`, ""},
		{`{"a":"1"}`, `{"a":1}`, `want "1", got 1`},
		{`[1,2]`, `[2,1]`, "want 1, got 2"},
		{`[1,2]`, `[1]`, "want 2 elements, got 1"},
		{`{"$set":[{"id":"b"},{"id":"a"}]}`, `[{"id":"a"},{"id":"b"}]`, ""},
		{`{"$set":[{"id":"b"},{"id":"a"}]}`, `[{"id":"a"},{"id":"a"}]`, "nothing in the set"},
		{`{"a":{}}`, `{"a":null}`, "want an object"},
		{`[]`, `null`, "want an array"},
	}
	for _, tt := range tests {
		c := captures{"old": []byte("7")}
		err := c.match([]byte(tt.pattern), []byte(tt.got))
		switch {
		case tt.err == "" && err != nil:
			t.Errorf("%s with %s: %v", tt.pattern, tt.got, err)
		case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
			t.Errorf("%s with %s: %v, want %q", tt.pattern, tt.got, err, tt.err)
		}
	}
}

func TestACaptureIsKeptOnlyByAMatch(t *testing.T) {
	c := captures{}
	if c.match([]byte(`[{"a":"$int:x"},1]`), []byte(`[{"a":3},2]`)) == nil || len(c) != 0 {
		t.Errorf("after a mismatch: %v", c)
	}
	if err := c.match([]byte(`[{"a":"$int:x"},1]`), []byte(`[{"a":3},1]`)); err != nil || string(c["x"]) != "3" {
		t.Errorf("after a match: %v, %v", c, err)
	}
}

func TestExpandLeavesOtherBytes(t *testing.T) {
	c := captures{"o": []byte("12"), "n": []byte("3")}
	got, err := c.expand([]byte(`{"offset": "$=o" , "data":"$fill>n", "x":1.0e2}`))
	if want := `{"offset": 12 , "data":"xxxx", "x":1.0e2}`; err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}
