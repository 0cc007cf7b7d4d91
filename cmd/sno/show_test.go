package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/client"
	"github.com/snoserver/sno/internal/hub"
)

func TestMessageLines(t *testing.T) {
	at := time.UnixMilli(1795341600000)
	for want, m := range map[string]client.Message{
		`{"channel":"c","id":"m","event":"","time":1795341600000,"epoch":"e","offset":7,"prev":0,"data":{"a": "<b>"}}`: {
			Channel: "c", ID: "m", Time: at, Position: hub.Position{Epoch: "e", Offset: 7}, Data: []byte(`{"a": "<b>"}`)},
		`{"channel":"c","id":"m","event":"x","client":"ann","headers":{"k":"v"},"time":1795341600000,"epoch":"e","offset":7,"prev":5,"data":[1,2]}`: {
			Channel: "c", ID: "m", Event: "x", Client: "ann", Headers: map[string]string{"k": "v"}, Time: at,
			Position: hub.Position{Epoch: "e", Offset: 7}, Prev: 5, Data: []byte("[1,\n 2]")},
		`{"channel":"c","id":"m","event":"","time":1795341600000,"ephemeral":true,"base64":"AAE="}`: {
			Channel: "c", ID: "m", Time: at, Ephemeral: true, Binary: true, Data: []byte{0, 1}},
	} {
		got := messageJSON(&m)
		if string(got) != want+"\n" || !json.Valid(got) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestTextDoesNotSteerTheTerminal(t *testing.T) {
	m := client.Message{Channel: "c", Event: "\x1b[2J", Data: []byte(`"\u001b[2J"`)}
	if text := string(messageText(&m)); strings.ContainsRune(text, 0x1b) {
		t.Errorf("got %q", text)
	}
}

// brokenWriter fails after the first piece.
type brokenWriter struct{ bytes.Buffer }

func (b *brokenWriter) Write(p []byte) (int, error) {
	if b.Len() > 0 {
		return 0, errors.New("no space")
	}
	return b.Buffer.Write(p)
}

func TestOutputReportsWhatWasNotWritten(t *testing.T) {
	w := &brokenWriter{}
	o := newOutput(w)
	for range 100_000 {
		_ = o.write([]byte("a line\n")) // reported by close
	}
	if err := o.close(); err == nil {
		t.Error("close reports no error")
	}
}

func TestOutputIsWrittenWhenIdle(t *testing.T) {
	written := make(chan string, 1)
	o := newOutput(writerFunc(func(p []byte) (int, error) {
		written <- string(p)
		return len(p), nil
	}))
	if err := o.write([]byte("a line\n")); err != nil {
		t.Fatal(err)
	}
	if got := <-written; got != "a line\n" { // although nobody closes
		t.Errorf("got %q", got)
	}
	if err := o.close(); err != nil {
		t.Fatal(err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
