package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/snoserver/sno/internal/client"
)

// maxLine is how long a line of stdin may be: above the largest message that any server can be configured to take, as base64.
const maxLine = 48 << 20

// lineError says what is wrong with one line; the lines after it are read all the same.
type lineError struct {
	number int
	err    error
}

func (e *lineError) Error() string {
	return fmt.Sprintf("line %d: %v; it was not published", e.number, e.err)
}
func (e *lineError) Unwrap() error { return e.err }

// lines makes publications of the lines of an input.
type lines struct {
	in     *bufio.Reader
	p      *publisher
	number int
}

func newLines(in io.Reader, p *publisher) *lines {
	return &lines{in: bufio.NewReaderSize(in, 64<<10), p: p}
}

// next returns the next line's message. io.EOF: there is none.
func (l *lines) next() (client.Publication, error) {
	for {
		line, err := l.read()
		if err != nil {
			return client.Publication{}, err
		}
		if l.p.asJSON && len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		m, err := l.publication(line)
		if err != nil {
			return m, &lineError{l.number, err}
		}
		return m, nil
	}
}

func (l *lines) publication(line []byte) (client.Publication, error) {
	m := l.p.base
	if l.p.id != "" {
		m.ID = l.p.id + "-" + strconv.Itoa(l.number)
	}
	set := l.p.setData
	if l.p.asJSON {
		set = parseLine
	}
	err := set(&m, line)
	return m, err
}

// read returns a line without its end. A line that is too long is read to its end and reported.
func (l *lines) read() ([]byte, error) {
	var line []byte
	tooLong := false
	for {
		part, err := l.in.ReadSlice('\n')
		if tooLong = tooLong || len(line)+len(part) > maxLine; !tooLong {
			line = append(line, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && (err != io.EOF || len(line) == 0 && !tooLong) {
			return nil, err
		}
		break
	}
	l.number++
	if tooLong {
		return nil, &lineError{l.number, fmt.Errorf("it is longer than %d bytes", maxLine)}
	}
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")), nil
}

// jsonInput is a line of --json. The fields after Base64 are those that "sno sub" and "sno history" print and that do not belong to a new message.
type jsonInput struct {
	ID      string            `json:"id"`
	Event   string            `json:"event"`
	Data    json.RawMessage   `json:"data"`
	Headers map[string]string `json:"headers"`
	Base64  *string           `json:"base64"`

	Channel, Client, Epoch, Offset, Prev, Time, Ephemeral any
}

func parseLine(m *client.Publication, line []byte) error {
	var in jsonInput
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return fmt.Errorf(`need an object such as {"event":"said","data":{"text":"hi"}}: %w`, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("there is more after the object; one object a line")
	}
	if in.ID != "" {
		m.ID = in.ID
	}
	if in.Event != "" {
		m.Event = in.Event
	}
	if in.Headers != nil {
		m.Headers = in.Headers
	}
	return in.setData(m)
}

func (in *jsonInput) setData(m *client.Publication) error {
	switch {
	case in.Base64 != nil && in.Data != nil:
		return errors.New(`there are both "data" and "base64"; give one`)
	case in.Base64 != nil:
		data, err := base64.StdEncoding.DecodeString(*in.Base64)
		m.Data, m.Binary = data, true
		if err != nil {
			return fmt.Errorf("base64: %w", err)
		}
	case in.Data == nil:
		return errors.New(`"data" is missing`)
	default:
		m.Data = in.Data
	}
	return nil
}

// textData takes a JSON value as it is, and anything else, or everything with always, as a string.
func textData(text []byte, always bool) ([]byte, error) {
	if !always && json.Valid(text) {
		return text, nil
	}
	if !utf8.Valid(text) {
		return nil, errors.New("the text is not UTF-8; send binary data with --base64 or --file")
	}
	return bytes.TrimSuffix(jsonLine(string(text)), []byte("\n")), nil
}
