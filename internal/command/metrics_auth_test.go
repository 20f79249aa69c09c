// SPDX-License-Identifier: Apache-2.0

package command

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// cluster answers reviews: the token "known" is the user prometheus, who may
// get /metrics; "stranger" is a user who may not; "outage" is no answer.
func guardOfCluster(now func() time.Time) (g *metricsGuard, asked *int) {
	asked = new(int)
	api := fake.NewClientset()
	api.PrependReactor("create", "tokenreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		*asked++
		r := a.(clienttesting.CreateAction).GetObject().(*authenticationv1.TokenReview).DeepCopy()
		switch r.Spec.Token {
		case "outage":
			return true, nil, errors.New("connection refused")
		case "known", "stranger":
			r.Status.Authenticated, r.Status.User.Username = true, r.Spec.Token
		}
		return true, r, nil
	})
	api.PrependReactor("create", "subjectaccessreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		r := a.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
		r.Status.Allowed = r.Spec.User == "known" && r.Spec.NonResourceAttributes.Path == "/metrics" && r.Spec.NonResourceAttributes.Verb == "get"
		return true, r, nil
	})
	return &metricsGuard{
		tokens: api.AuthenticationV1().TokenReviews(), access: api.AuthorizationV1().SubjectAccessReviews(),
		now: now, reviews: map[[32]byte]review{},
	}, asked
}

func TestMetricsAreForThoseWhomTheAPIServerAllows(t *testing.T) {
	for name, c := range map[string]struct {
		authorization, path string
		want                int
	}{
		"no token":                 {"", "/metrics", http.StatusUnauthorized},
		"a password":               {"Basic a25vd246", "/metrics", http.StatusUnauthorized},
		"an unknown token":         {"Bearer forged", "/metrics", http.StatusUnauthorized},
		"a user without the right": {"Bearer stranger", "/metrics", http.StatusForbidden},
		"another path":             {"Bearer known", "/debug", http.StatusForbidden},
		"the API server is away":   {"Bearer outage", "/metrics", http.StatusServiceUnavailable},
		"a user with the right":    {"Bearer known", "/metrics", http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			g, _ := guardOfCluster(time.Now)
			handler, err := g.filter(logr.Discard(), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest(http.MethodGet, c.path, nil)
			if c.authorization != "" {
				r.Header.Set("Authorization", c.authorization)
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != c.want {
				t.Errorf("status %d, want %d", w.Code, c.want)
			}
		})
	}
}

func TestAReviewIsAskedForOnceAMinute(t *testing.T) {
	now := time.Unix(0, 0)
	g, asked := guardOfCluster(func() time.Time { return now })
	for _, step := range []struct {
		after time.Duration
		asked int
	}{{0, 1}, {30 * time.Second, 1}, {31 * time.Second, 2}} {
		now = now.Add(step.after)
		if answer, err := g.review(t.Context(), "known", "/metrics", "get"); err != nil || !answer.allowed {
			t.Fatalf("%+v, %v", answer, err)
		}
		if *asked != step.asked {
			t.Errorf("at %s: asked %d times, want %d", now.Sub(time.Unix(0, 0)), *asked, step.asked)
		}
	}
}
