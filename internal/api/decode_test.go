package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/snoserver/sno/internal/hub"
)

// FuzzDecodePublish holds the decoder against encoding/json: it takes nothing that is not JSON, and finds in it what is there.
func FuzzDecodePublish(f *testing.F) {
	for _, s := range []string{`{"id":"a","event":"b","data":{"text": "hi"},"headers":{"h":"v"}}`, `[{"base64":"AP8="},{"ephemeral":true,"exclude":"s"}]`,
		`{"expect":{"epoch":"k3x9","offset":1207}}`, `[{},]`, `{"data":1}{}`, `{"data":"\ud800"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		pubs, many, err := decodePublish(bytes.Clone(body), "chat")
		if err != nil {
			if e, ok := errors.AsType[*hub.Error](err); !ok || len(e.Text) > 600 || pubs != nil {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		var all []struct {
			ID   string          `json:"id"`
			Data json.RawMessage `json:"data"`
		}
		whole := body
		if !many {
			whole = append(append([]byte{'['}, body...), ']')
		}
		if err := json.Unmarshal(whole, &all); err != nil || len(all) != len(pubs) {
			t.Fatalf("took %q as %d messages: %v", body, len(pubs), err)
		}
		for i, p := range pubs {
			data := all[i].Data
			if data == nil {
				data = []byte("null")
			}
			if p.ID != all[i].ID || !p.Binary && !bytes.Equal(p.Data, data) || len(p.Channels) != 1 || p.Channels[0] != "chat" {
				t.Fatalf("%q gives %+v", body, p)
			}
		}
	})
}
