package main

import (
	"bufio"
	"io"
	"sync"
	"time"
)

// output buffers lines and flushes them when no more come for a moment, so that a flood is written in large pieces and a single line at once.
type output struct {
	mu  sync.Mutex
	w   *bufio.Writer
	err error

	dirty chan struct{}
	done  chan struct{}
	ended chan struct{}
}

// idle is how long a line waits for company.
const idle = 2 * time.Millisecond

func newOutput(w io.Writer) *output {
	o := &output{w: bufio.NewWriterSize(w, 64<<10), dirty: make(chan struct{}, 1), done: make(chan struct{}), ended: make(chan struct{})}
	go o.flusher()
	return o
}

func (o *output) flusher() {
	defer close(o.ended)
	for {
		select {
		case <-o.dirty:
			time.Sleep(idle)
			o.flush()
		case <-o.done:
			o.flush()
			return
		}
	}
}

func (o *output) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.w.Flush(); err != nil && o.err == nil {
		o.err = err
	}
}

// write adds a line; the error is of an earlier flush.
func (o *output) write(line []byte) error {
	o.mu.Lock()
	_, err := o.w.Write(line)
	if o.err == nil {
		o.err = err
	}
	err = o.err
	o.mu.Unlock()
	select {
	case o.dirty <- struct{}{}:
	default:
	}
	return err
}

// close flushes and reports the first error there was. write must not be called any more.
func (o *output) close() error {
	close(o.done)
	<-o.ended
	return o.err
}
