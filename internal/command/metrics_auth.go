// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// The metrics are for whoever the cluster allows to GET /metrics: each bearer
// token is reviewed by the API server. controller-runtime has a filter that
// does the same through the API server's own libraries; they would make the
// binary, which also is the homeserver, 22 MB larger and its idle memory half
// as large again.

// reviewLife is how long an answer of the API server is trusted.
const reviewLife = time.Minute

// maxReviews bounds what is remembered of tokens, valid or not.
const maxReviews = 1000

type review struct {
	allowed bool
	status  int // when not allowed
	until   time.Time
}

// metricsGuard lets those through whom the API server allows.
type metricsGuard struct {
	tokens authenticationclient.TokenReviewInterface
	access authorizationclient.SubjectAccessReviewInterface
	now    func() time.Time

	mu      sync.Mutex
	reviews map[[sha256.Size]byte]review
}

// guardMetrics is the metrics server's FilterProvider.
func guardMetrics(config *rest.Config, client *http.Client) (metricsserver.Filter, error) {
	authentication, err := authenticationclient.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("client of token reviews: %w", err)
	}
	authorization, err := authorizationclient.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("client of access reviews: %w", err)
	}
	g := &metricsGuard{
		tokens: authentication.TokenReviews(), access: authorization.SubjectAccessReviews(),
		now: time.Now, reviews: map[[sha256.Size]byte]review{},
	}
	return g.filter, nil
}

func (g *metricsGuard) filter(log logr.Logger, next http.Handler) (http.Handler, error) {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || token == "" {
			http.Error(w, "a bearer token is required", http.StatusUnauthorized)
			return
		}
		answer, err := g.review(r.Context(), token, r.URL.Path, strings.ToLower(r.Method))
		if err != nil {
			log.Error(err, "cannot review access to metrics")
			http.Error(w, "the API server cannot review the token now", http.StatusServiceUnavailable)
			return
		}
		if !answer.allowed {
			http.Error(w, http.StatusText(answer.status), answer.status)
			return
		}
		next.ServeHTTP(w, r)
	}), nil
}

// review asks the API server who holds the token and whether that user may
// use verb on path, or remembers its answer. Only a hash of tokens is kept.
func (g *metricsGuard) review(ctx context.Context, token, path, verb string) (review, error) {
	key := sha256.Sum256([]byte(token + "\x00" + verb + "\x00" + path))
	g.mu.Lock()
	known, ok := g.reviews[key]
	g.mu.Unlock()
	if ok && g.now().Before(known.until) {
		return known, nil
	}
	answer, err := g.ask(ctx, token, path, verb)
	if err != nil {
		return answer, err
	}
	answer.until = g.now().Add(reviewLife)
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.reviews) >= maxReviews {
		clear(g.reviews)
	}
	g.reviews[key] = answer
	return answer, nil
}

func (g *metricsGuard) ask(ctx context.Context, token, path, verb string) (review, error) {
	who, err := g.tokens.Create(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token},
	}, metav1.CreateOptions{})
	if err != nil {
		return review{}, fmt.Errorf("review token: %w", err)
	}
	if !who.Status.Authenticated {
		return review{status: http.StatusUnauthorized}, nil
	}
	user := who.Status.User
	extra := make(map[string]authorizationv1.ExtraValue, len(user.Extra))
	for name, values := range user.Extra {
		extra[name] = authorizationv1.ExtraValue(values)
	}
	may, err := g.access.Create(ctx, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
			NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: path, Verb: verb},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return review{}, fmt.Errorf("review access: %w", err)
	}
	return review{allowed: may.Status.Allowed, status: http.StatusForbidden}, nil
}
