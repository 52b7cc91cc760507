// Package s3store is hudi/storage on Amazon S3 and stores that speak its protocol, with aws-sdk-go-v2.
// It owns how the outcome of a request is read (done, not done, unknown), deadlines, and which requests
// are repeated. It knows nothing of tables. Objects are written by one PUT each, up to 5 GiB.
package s3store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

// maxObjectBytes is the largest object that S3 takes in one PUT.
const maxObjectBytes = 5 << 30

// Deadlines of one attempt. A transfer may be as slow as minBytesPerSecond before it is given up.
const (
	dialTimeout       = 5 * time.Second
	headerTimeout     = 60 * time.Second
	requestTimeout    = 60 * time.Second
	minBytesPerSecond = 1 << 20
	maxIdleConns      = 64
)

// Params says which bucket and how to reach it.
type Params struct {
	// Endpoint is the URL of the store; empty means Amazon's for Region.
	Endpoint string
	Region   string
	Bucket   string
	// PathStyle puts the bucket into the path instead of the host name.
	PathStyle bool
	// AccessKey and SecretKey return static credentials and are asked again every minute; both nil means
	// the default chain of the SDK (environment, web identity, instance role).
	AccessKey, SecretKey func() (string, error)
}

// Bucket is one bucket. It is safe for concurrent use.
type Bucket struct {
	client *s3.Client
	name   string
}

// Open returns the bucket of p. It sends no request.
func Open(ctx context.Context, p Params) (*Bucket, error) {
	if p.Bucket == "" {
		return nil, errors.New("open bucket: no bucket is named")
	}
	httpClient := awshttp.NewBuildableClient().
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = dialTimeout }).
		WithTransportOptions(func(t *http.Transport) {
			t.ResponseHeaderTimeout = headerTimeout
			t.TLSHandshakeTimeout = dialTimeout
			t.MaxIdleConnsPerHost = maxIdleConns
		})
	options := []func(*config.LoadOptions) error{
		config.WithHTTPClient(httpClient),
		// Repeating a conditional PUT inside the SDK turns a success whose answer was lost into a 412.
		// What may be repeated is repeated here, by retry.
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
		config.WithRegion(cmp.Or(p.Region, "us-east-1")),
	}
	if p.AccessKey != nil || p.SecretKey != nil {
		options = append(options, config.WithCredentialsProvider(aws.NewCredentialsCache(staticKeys{p.AccessKey, p.SecretKey})))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("load configuration of the S3 client: %w", err)
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = p.PathStyle
		o.Retryer = aws.NopRetryer{}
		if p.Endpoint != "" {
			o.BaseEndpoint = aws.String(p.Endpoint)
		}
	})
	return &Bucket{client: client, name: p.Bucket}, nil
}

// staticKeys reads credentials from where they are kept, again when they have got old.
type staticKeys struct {
	access, secret func() (string, error)
}

// Retrieve implements aws.CredentialsProvider.
func (s staticKeys) Retrieve(context.Context) (aws.Credentials, error) {
	if s.access == nil || s.secret == nil {
		return aws.Credentials{}, errors.New("read credentials: an access key and a secret key belong together")
	}
	access, err := s.access()
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("read access key: %w", err)
	}
	secret, err := s.secret()
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("read secret key: %w", err)
	}
	return aws.Credentials{
		AccessKeyID: access, SecretAccessKey: secret, Source: "playhead key files",
		CanExpire: true, Expires: time.Now().Add(time.Minute),
	}, nil
}

// Store returns the part of the bucket below prefix as a store of its own.
func (b *Bucket) Store(prefix string) *Store {
	prefix = strings.Trim(prefix, "/")
	if prefix != "" {
		prefix += "/"
	}
	return &Store{bucket: b, prefix: prefix}
}

// Store is a storage.Store below a prefix of a bucket.
type Store struct {
	bucket *Bucket
	prefix string
}

var _ storage.Store = (*Store)(nil)

// Get implements storage.Store.
func (s *Store) Get(ctx context.Context, key string) ([]byte, storage.Info, error) {
	var data []byte
	var info storage.Info
	err := s.read(ctx, "get", key, func(ctx context.Context, name *string) error {
		out, err := s.bucket.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket.name, Key: name})
		if err != nil {
			return err
		}
		if data, err = readBody(out.Body, aws.ToInt64(out.ContentLength)); err != nil {
			return err
		}
		info = storage.Info{Key: key, Size: int64(len(data)), ETag: aws.ToString(out.ETag), ModTime: aws.ToTime(out.LastModified)}
		return nil
	})
	return data, info, err
}

// GetRange implements storage.Store.
func (s *Store) GetRange(ctx context.Context, key string, off, length int64) ([]byte, error) {
	if off < 0 || length <= 0 {
		return nil, fmt.Errorf("get %d bytes at %d of %s: %w", length, off, key, storage.ErrRange)
	}
	var data []byte
	err := s.read(ctx, "get range of", key, func(ctx context.Context, name *string) error {
		out, err := s.bucket.client.GetObject(ctx, &s3.GetObjectInput{
			Bucket: &s.bucket.name, Key: name, Range: aws.String(fmt.Sprintf("bytes=%d-%d", off, off+length-1)),
		})
		if err != nil {
			return err
		}
		if out.ContentRange == nil {
			_ = out.Body.Close()
			return errors.New("the store ignored the range")
		}
		data, err = readBody(out.Body, aws.ToInt64(out.ContentLength))
		return err
	})
	return data, err
}

// Stat implements storage.Store.
func (s *Store) Stat(ctx context.Context, key string) (storage.Info, error) {
	var info storage.Info
	err := s.read(ctx, "stat", key, func(ctx context.Context, name *string) error {
		out, err := s.bucket.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket.name, Key: name})
		if err != nil {
			return err
		}
		info = storage.Info{
			Key: key, Size: aws.ToInt64(out.ContentLength), ETag: aws.ToString(out.ETag), ModTime: aws.ToTime(out.LastModified),
		}
		return nil
	})
	return info, err
}

// Put implements storage.Store with exactly one request.
func (s *Store) Put(ctx context.Context, key string, data []byte, cond storage.Condition) (storage.Info, error) {
	if err := errors.Join(storage.CheckKey(key), cond.Check()); err != nil {
		return storage.Info{}, fmt.Errorf("put %s: %w", key, err)
	}
	if len(data) > maxObjectBytes {
		return storage.Info{}, fmt.Errorf("put %s: %d bytes are more than one PUT takes (%d): %w", key, len(data), maxObjectBytes, storage.ErrInvalid)
	}
	if err := ctx.Err(); err != nil {
		return storage.Info{}, fmt.Errorf("put %s: %w", key, err)
	}
	in := &s3.PutObjectInput{
		Bucket: &s.bucket.name, Key: aws.String(s.prefix + key), Body: bytes.NewReader(data), ContentLength: aws.Int64(int64(len(data))),
	}
	if cond.IfAbsent {
		in.IfNoneMatch = aws.String("*")
	}
	if cond.IfMatch != "" {
		in.IfMatch = aws.String(cond.IfMatch)
	}
	attempt, cancel := context.WithTimeout(ctx, requestTimeout+transferTime(len(data)))
	defer cancel()
	out, err := s.bucket.client.PutObject(attempt, in)
	if err != nil {
		return storage.Info{}, fmt.Errorf("put %s: %w", key, writeOutcome(err))
	}
	return storage.Info{Key: key, Size: int64(len(data)), ETag: aws.ToString(out.ETag), ModTime: time.Now()}, nil
}

// Delete implements storage.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	err := s.read(ctx, "delete", key, func(ctx context.Context, name *string) error {
		_, err := s.bucket.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket.name, Key: name})
		return err
	})
	if errors.Is(err, storage.ErrNotExist) {
		return nil
	}
	return err
}

// List implements storage.Store. Zero-byte "folder" objects, which other tools leave, are not listed.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		var token *string
		last := ""
		for {
			page, err := s.page(ctx, prefix, token)
			if err != nil {
				yield(storage.Info{}, fmt.Errorf("list %s: %w", prefix, err))
				return
			}
			for _, o := range page.Contents {
				key := strings.TrimPrefix(aws.ToString(o.Key), s.prefix)
				if key <= last {
					yield(storage.Info{}, fmt.Errorf("list %s: %s comes after %s: the store does not list in byte order", prefix, key, last))
					return
				}
				last = key
				if strings.HasSuffix(key, "/") {
					continue
				}
				info := storage.Info{Key: key, Size: aws.ToInt64(o.Size), ETag: aws.ToString(o.ETag), ModTime: aws.ToTime(o.LastModified)}
				if !yield(info, nil) {
					return
				}
			}
			if !aws.ToBool(page.IsTruncated) {
				return
			}
			token = page.NextContinuationToken
		}
	}
}

func (s *Store) page(ctx context.Context, prefix string, token *string) (*s3.ListObjectsV2Output, error) {
	var page *s3.ListObjectsV2Output
	err := retry(ctx, func(ctx context.Context) (err error) {
		page, err = s.bucket.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
			Bucket: &s.bucket.name, Prefix: aws.String(s.prefix + prefix), ContinuationToken: token,
		})
		return err
	})
	if err == nil && aws.ToBool(page.IsTruncated) && aws.ToString(page.NextContinuationToken) == "" {
		err = errors.New("the store says that the list goes on, and not where")
	}
	return page, err
}

// read runs a request that may be repeated.
func (s *Store) read(ctx context.Context, verb, key string, request func(ctx context.Context, name *string) error) error {
	err := storage.CheckKey(key)
	if err == nil {
		name := s.prefix + key
		err = retry(ctx, func(ctx context.Context) error { return request(ctx, &name) })
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", verb, key, err)
	}
	return nil
}

func readBody(body io.ReadCloser, length int64) ([]byte, error) {
	defer body.Close()
	if length < 0 {
		return nil, errors.New("the store did not say how long the object is")
	}
	data := make([]byte, length)
	if _, err := io.ReadFull(body, data); err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	// The end of the body is where the SDK compares the checksum.
	if n, err := body.Read(make([]byte, 1)); n != 0 || err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read end of body: %w", cmp.Or(err, errors.New("more bytes than announced")))
	}
	return data, nil
}

func transferTime(size int) time.Duration {
	return time.Duration(size/minBytesPerSecond) * time.Second
}
