package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/snoserver/sno/internal/hub"
)

// FuzzDecodePublish holds the decoder against encoding/json: it takes nothing that is not JSON, and finds in it what is there.
func FuzzDecodePublish(f *testing.F) {
	for _, s := range []string{`{"id":"a","event":"b","data":{"text": "hi"},"headers":{"h":"v"}}`, `[{"base64":"AP8="},{"ephemeral":true,"exclude":"s"}]`,
		`{"expect":{"epoch":"k3x9","offset":1207}}`, `[{},]`, `{"data":1}{}`, `{"data":"\ud800"}`,
		`{"channel":"a"}`, `[{"channels":["a","b"]},{"channel":"c","data":2}]`, `{"channels":[]}`, `{"channels":null,"channel":"a"}`} {
		f.Add([]byte(s), "chat")
		f.Add([]byte(s), "")
	}
	f.Fuzz(func(t *testing.T, body []byte, channel string) {
		b, err := decodePublish(bytes.Clone(body), channel)
		if err != nil {
			if e, ok := errors.AsType[*hub.Error](err); !ok || len(e.Text) > 600 || b.pubs != nil {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		var all []struct {
			ID       string          `json:"id"`
			Data     json.RawMessage `json:"data"`
			Channel  string          `json:"channel"`
			Channels []string        `json:"channels"`
		}
		whole := bytes.TrimLeft(body, " \t\r\n")
		if whole[0] == '{' {
			whole = append(append([]byte{'['}, body...), ']')
		}
		if err := json.Unmarshal(whole, &all); err != nil || len(all) != len(b.pubs) {
			t.Fatalf("took %q as %d messages: %v", body, len(b.pubs), err)
		}
		for i, p := range b.pubs {
			data, channels := all[i].Data, all[i].Channels
			if data == nil {
				data = []byte("null")
			}
			if channels == nil {
				channels = []string{channel + all[i].Channel} // one of them is empty
			}
			if p.ID != all[i].ID || !p.Binary && !bytes.Equal(p.Data, data) || !slices.Equal(p.Channels, channels) {
				t.Fatalf("%q to %q gives %+v", body, channel, p)
			}
		}
	})
}
