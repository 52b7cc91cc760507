package defect

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// StoreOptions say what an ObjectStore stands in front of and what is wrong with it. Without a defect it passes everything on as it is.
type StoreOptions struct {
	Upstream             string // URL of the real store
	AccessKey, SecretKey string
	Region               string
	// LoseEach makes data files vanish after they were committed: of those that were put since the last commit, every LoseEach-th is deleted
	// right after HEAD was replaced, before the writer hears of it. The offsets are then durable and the data is not.
	LoseEach int
	// Unconditional turns every conditional PUT into a plain one, as stores do that do not know the headers If-Match and If-None-Match.
	// Requests of a writer's probe are left alone, unless ProbeToo.
	Unconditional, ProbeToo bool
}

// ObjectStore is an S3 proxy. It cannot tell tables apart: it takes the PUT of any HEAD for a commit.
type ObjectStore struct {
	*web
	options StoreOptions
	target  *url.URL
	signer  *v4.Signer
	client  *http.Client

	mu struct {
		sync.Mutex
		files   int      // data files put so far
		victims []string // escaped paths of data files that the next commit is to lose
		hold    *Hold    // of the next commit
	}
}

// NewObjectStore binds a port of loopback.
func NewObjectStore(o StoreOptions) (*ObjectStore, error) {
	target, err := url.Parse(o.Upstream)
	if err != nil {
		return nil, fmt.Errorf("read address of the object store: %w", err)
	}
	s := &ObjectStore{
		options: o, target: target, client: &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()},
		signer: v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }), // S3's one deviation from Signature Version 4
	}
	proxy := &httputil.ReverseProxy{Transport: s.client.Transport, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // it is signed
	}}
	if o.LoseEach > 0 {
		proxy.ModifyResponse = s.lose
	}
	s.web, err = listenWeb(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.prepare(r); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	return s, err
}

// Run serves until ctx ends.
func (s *ObjectStore) Run(ctx context.Context) error {
	defer s.client.CloseIdleConnections()
	return s.web.Run(ctx)
}

// Hold is one commit that is stopped on its way to the store.
type Hold struct {
	arrived, released chan struct{}
	release           sync.Once
}

// Arrived is closed when the commit's PUT of HEAD is here.
func (h *Hold) Arrived() <-chan struct{} { return h.arrived }

// Release lets it go on.
func (h *Hold) Release() { h.release.Do(func() { close(h.released) }) }

// HoldCommit stops the next PUT of HEAD, as a network may that delivers late. The caller releases it.
func (s *ObjectStore) HoldCommit() *Hold {
	h := &Hold{arrived: make(chan struct{}), released: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.hold = h
	return h
}

const (
	headSuffix = "/.hoodie/playhead/HEAD"
	dataSuffix = ".parquet"
	probeInfix = "/probe/" // a writer tries the store below this
)

func isCommit(r *http.Request) bool {
	return r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, headSuffix)
}

// prepare does to a request what comes before the store sees it.
func (s *ObjectStore) prepare(r *http.Request) error {
	if isCommit(r) {
		s.mu.Lock()
		hold := s.mu.hold
		s.mu.hold = nil
		s.mu.Unlock()
		if hold != nil {
			close(hold.arrived)
			select {
			case <-hold.released:
			case <-r.Context().Done():
				return fmt.Errorf("hold commit: %w", r.Context().Err())
			}
		}
	}
	conditional := r.Header.Get("If-Match") != "" || r.Header.Get("If-None-Match") != ""
	if !s.options.Unconditional || r.Method != http.MethodPut || !conditional || strings.Contains(r.URL.Path, probeInfix) && !s.options.ProbeToo {
		return nil
	}
	r.Header.Del("If-Match")
	r.Header.Del("If-None-Match")
	return s.sign(r) // the headers were signed
}

// payloadHash is the header with the SHA-256 of the body, or with a word that stands for one.
const payloadHash = "X-Amz-Content-Sha256"

// sign signs a request whose payload hash is set. Signatures hold for about 15 minutes from the time of the machine's clock.
func (s *ObjectStore) sign(r *http.Request) error {
	r.Header.Del("Authorization")
	keys := aws.Credentials{AccessKeyID: s.options.AccessKey, SecretAccessKey: s.options.SecretKey}
	if err := s.signer.SignHTTP(r.Context(), keys, r, r.Header.Get(payloadHash), "s3", s.options.Region, time.Now()); err != nil {
		return fmt.Errorf("sign %s of %s: %w", r.Method, r.URL.Path, err)
	}
	return nil
}

// lose watches what is stored, and deletes this commit's victims when the commit is.
func (s *ObjectStore) lose(response *http.Response) error {
	r := response.Request
	if r.Method != http.MethodPut || response.StatusCode != http.StatusOK {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.HasSuffix(r.URL.Path, dataSuffix) {
		s.mu.files++
		if s.mu.files%s.options.LoseEach == 0 {
			s.mu.victims = append(s.mu.victims, r.URL.EscapedPath())
		}
	}
	if !isCommit(r) {
		return nil
	}
	for _, path := range s.mu.victims {
		if err := s.remove(r.Context(), path); err != nil {
			return err
		}
	}
	s.mu.victims = nil
	return nil
}

// remove deletes an object of the store behind.
func (s *ObjectStore) remove(ctx context.Context, escapedPath string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodDelete, s.target.Scheme+"://"+s.target.Host+escapedPath, nil)
	if err != nil {
		return fmt.Errorf("lose %s: %w", escapedPath, err)
	}
	nothing := sha256.Sum256(nil)
	r.Header.Set(payloadHash, hex.EncodeToString(nothing[:]))
	if err := s.sign(r); err != nil {
		return err
	}
	response, err := s.client.Do(r)
	if err != nil {
		return fmt.Errorf("lose %s: %w", escapedPath, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusNoContent {
		return fmt.Errorf("lose %s: the store answers %s", escapedPath, response.Status)
	}
	return nil
}
