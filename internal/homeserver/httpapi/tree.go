// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// node is one step of the tree of routes: a segment of the path.
type node struct {
	literals map[string]*node
	param    *node             // any non-empty segment
	routes   map[string]*Route // by method; of the path that ends here
	names    map[string][]string
}

// maxSegments is more than any route has.
const maxSegments = 24

// segments returns the path below the first slash.
func segments(path string) []string { return strings.Split(strings.TrimPrefix(path, "/"), "/") }

// add puts a route into the tree.
func (n *node) add(r *Route) error {
	if !strings.HasPrefix(r.Path, "/") {
		return fmt.Errorf("path %q does not begin with a slash", r.Path)
	}
	path := segments(r.Path)
	last := path[len(path)-1]
	if name, optional := strings.CutSuffix(last, "?}"); optional {
		path[len(path)-1] = name + "}"
		for _, variant := range [][]string{path[:len(path)-1], append(slices.Clone(path[:len(path)-1]), "")} {
			if err := n.put(r, variant); err != nil {
				return err
			}
		}
	}
	return n.put(r, path)
}

func (n *node) put(r *Route, path []string) error {
	var names []string
	for _, segment := range path {
		if strings.HasPrefix(segment, "{") {
			names = append(names, strings.Trim(segment, "{}"))
			if n.param == nil {
				n.param = &node{}
			}
			n = n.param
			continue
		}
		if n.literals == nil {
			n.literals = map[string]*node{}
		}
		if n.literals[segment] == nil {
			n.literals[segment] = &node{}
		}
		n = n.literals[segment]
	}
	if n.routes[r.Method] != nil {
		return fmt.Errorf("%s %s and %s are the same", r.Method, r.Path, n.routes[r.Method].Path)
	}
	if n.routes == nil {
		n.routes, n.names = map[string]*Route{}, map[string][]string{}
	}
	n.routes[r.Method], n.names[r.Method] = r, names
	return nil
}

// find walks down path; literals win over parameters.
func (n *node) find(path, values []string) (*node, []string) {
	if len(path) == 0 {
		if n.routes == nil {
			return nil, nil
		}
		return n, values
	}
	if next := n.literals[path[0]]; next != nil {
		if found, v := next.find(path[1:], values); found != nil {
			return found, v
		}
	}
	if n.param != nil && path[0] != "" {
		return n.param.find(path[1:], append(values, path[0]))
	}
	return nil, nil
}

// match finds the route of a request. Segments are split before they are
// decoded: an encoded slash or dot stays inside its segment and never leads to
// another route. When only the method is wrong, route is nil and allowed
// lists the right ones; when nothing matches both are nil.
func (n *node) match(r *http.Request) (route *Route, params []param, allowed []string) {
	path := segments(r.URL.EscapedPath())
	if len(path) > maxSegments {
		return nil, nil, nil
	}
	for i, s := range path {
		decoded, err := url.PathUnescape(s)
		if err != nil {
			return nil, nil, nil
		}
		path[i] = decoded
	}
	end, values := n.find(path, nil)
	if end == nil {
		return nil, nil, nil
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	route = end.routes[method]
	if route == nil {
		for m := range end.routes {
			allowed = append(allowed, m)
		}
		slices.Sort(allowed)
		return nil, nil, allowed
	}
	for i, name := range end.names[method] {
		params = append(params, param{name, values[i]})
	}
	return route, params, nil
}
