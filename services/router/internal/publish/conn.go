package publish

import (
	"sync/atomic"

	"github.com/IBM/sarama"
)

// maxOutstanding is the number of requests on a connection that wait for their answers. They carry different partitions.
const maxOutstanding = 5

// produceVersion has errors per record (KIP-467) and is the last one whose encoder does not pass over the records twice.
const produceVersion = 8

// request is a produce request on its way.
type request struct {
	conn  *conn
	parts []*partition
	wire  *sarama.ProduceRequest
	bytes int
}

// answer is the end of a request. An error means that nothing is known of its partitions.
type answer struct {
	req  *request
	resp *sarama.ProduceResponse
	err  error
}

// conn is a connection of our own to one broker: those of sarama's client are closed and dropped by its metadata refresh. Its goroutine
// opens it, sends, and closes it; the loop decides what is sent. A conn that has failed is not used again.
type conn struct {
	addr        string
	work        chan *request // never full: the loop keeps outstanding below its capacity
	outstanding int           // of the loop
	retired     bool          // of the loop: work is closed
	broken      atomic.Bool
}

func newConn(addr string) *conn {
	return &conn{addr: addr, work: make(chan *request, maxOutstanding)}
}

// run sends what comes until work is closed. Every request leads to exactly one call of post.
func (c *conn) run(conf *sarama.Config, post func(answer)) {
	broker := sarama.NewBroker(c.addr)
	// Open dials in the background; its failure shows in the first request.
	err := broker.Open(conf)
	for req := range c.work {
		if err != nil || c.broken.Load() {
			post(answer{req: req, err: sarama.ErrNotConnected})
			continue
		}
		// The callback runs on the goroutine that reads the connection: it must only post.
		err = broker.AsyncProduce(req.wire, func(resp *sarama.ProduceResponse, err error) {
			if err != nil {
				c.broken.Store(true)
			}
			post(answer{req: req, resp: resp, err: err})
		})
		if err != nil {
			// No callback follows a returned error. AsyncProduce leaves a dead connection open. Closing it ends the reads, so that the requests before this one get their callbacks.
			_ = broker.Close() // it is broken already
			post(answer{req: req, err: err})
		}
	}
	_ = broker.Close() // it may be closed already
}
