package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/snoserver/sno/internal/client"
	"github.com/snoserver/sno/internal/hub"
)

// messageLine is a message as --json prints it, but for its data.
type messageLine struct {
	Channel   string            `json:"channel"`
	ID        string            `json:"id"`
	Event     string            `json:"event"`
	Client    string            `json:"client,omitempty"`
	Headers   map[string]string `json:"headers,omitempty"`
	Time      int64             `json:"time"`
	Epoch     string            `json:"epoch,omitempty"`
	Offset    uint64            `json:"offset,omitempty"`
	Prev      *uint64           `json:"prev,omitempty"`
	Ephemeral bool              `json:"ephemeral,omitempty"`
	Base64    *string           `json:"base64,omitempty"`
}

// messageJSON gives a message as one line. Data is kept byte for byte, but for line breaks within it.
func messageJSON(m *client.Message) []byte {
	line := messageLine{
		Channel: m.Channel, ID: m.ID, Event: m.Event, Client: m.Client, Headers: m.Headers, Time: m.Time.UnixMilli(),
		Epoch: m.Position.Epoch, Offset: m.Position.Offset, Ephemeral: m.Ephemeral,
	}
	if !m.Ephemeral {
		line.Prev = &m.Prev
	}
	if m.Binary {
		s := base64.StdEncoding.EncodeToString(m.Data)
		line.Base64 = &s
		return jsonLine(line)
	}
	b := bytes.TrimSuffix(jsonLine(line), []byte("}\n"))
	b = append(b, `,"data":`...)
	b = append(b, oneLine(m.Data)...)
	return append(b, "}\n"...)
}

// oneLine gives JSON without line breaks.
func oneLine(data []byte) []byte {
	if len(data) == 0 {
		return []byte("null")
	}
	if !bytes.ContainsAny(data, "\r\n") {
		return data
	}
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil {
		return data // cannot be: a frame with it was read as JSON
	}
	return b.Bytes()
}

// jsonLine gives v as one line of JSON, with < and > as they are.
func jsonLine(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // only our own structs come here
	}
	return b.Bytes()
}

// messageText gives a message as a person reads it: time, channel, event, data.
func messageText(m *client.Message) []byte {
	b := m.Time.Local().AppendFormat(nil, time.TimeOnly)
	b = append(b, ' ')
	b = append(b, m.Channel...)
	if m.Event != "" {
		b = append(b, ' ')
		b = append(b, printable(m.Event)...)
	}
	b = append(b, ' ')
	if m.Binary {
		b = append(b, "base64:"...)
		b = base64.StdEncoding.AppendEncode(b, m.Data)
	} else {
		b = append(b, oneLine(m.Data)...)
	}
	return append(b, '\n')
}

// printable keeps a publisher's string from steering the terminal.
func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// resetLine is a reset as --json prints it.
type resetLine struct {
	Reset resetFields `json:"reset"`
}

type resetFields struct {
	Channel string    `json:"channel"`
	Reason  hub.Reset `json:"reason"`
	Epoch   string    `json:"epoch"`
	Offset  uint64    `json:"offset"`
}

// presenceLine is a change of presence as --json prints it.
type presenceLine struct {
	Presence presenceFields `json:"presence"`
}

type presenceFields struct {
	Channel string          `json:"channel"`
	Action  string          `json:"action"`
	Version uint64          `json:"version"`
	Members []client.Member `json:"members,omitempty"`
	Member  *client.Member  `json:"member,omitempty"`
}

func presenceOf(channel string, p *client.Presence) presenceLine {
	line := presenceFields{Channel: channel, Action: p.Action, Version: p.Version, Members: p.Members}
	if p.Action != "snapshot" {
		line.Member = &p.Member
	}
	return presenceLine{line}
}

func presenceText(channel string, p *client.Presence) []byte {
	if p.Action != "snapshot" {
		return fmt.Appendf(nil, "%s %s %s %s\n", channel, p.Action, printable(p.Member.ID), oneLine(p.Member.Data))
	}
	names := make([]string, 0, len(p.Members))
	for _, m := range p.Members {
		names = append(names, printable(m.ID))
	}
	return fmt.Appendf(nil, "%s has %d members: %s\n", channel, len(names), strings.Join(names, ", "))
}

// parsePosition reads "epoch:offset".
func parsePosition(s string) (hub.Position, bool) {
	epoch, digits, found := strings.Cut(s, ":")
	offset, err := strconv.ParseUint(digits, 10, 64)
	return hub.Position{Epoch: epoch, Offset: offset}, found && epoch != "" && err == nil && offset <= hub.MaxOffset
}
