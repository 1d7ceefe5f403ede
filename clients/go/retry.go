package primase

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// A call is only retried while gRPC still holds its whole request.
const retryBufferBytes = 8 << 20

// Retry says when a call that has brought nothing yet is tried again: nobody answers, or the queue
// is full. A server that says when to come back is obeyed; otherwise the wait doubles from
// InitialBackoff up to MaxBackoff.
type Retry struct {
	// MaxAttempts counts the first one too. gRPC makes no more than 5; 1 or less never retries.
	MaxAttempts int
	// InitialBackoff is the first wait.
	InitialBackoff time.Duration
	// MaxBackoff is the longest wait.
	MaxBackoff time.Duration
}

// DefaultRetry is in force without [WithRetry].
var DefaultRetry = Retry{MaxAttempts: 5, InitialBackoff: 250 * time.Millisecond, MaxBackoff: 10 * time.Second}

// serviceConfig is the service config of gRPC for every method: retries, if any, and for a target whose addresses all take
// calls how these are spread.
func (r Retry) serviceConfig(target string) string {
	type object = map[string]any
	config := object{}
	policy := object{
		"maxAttempts":          r.MaxAttempts,
		"initialBackoff":       seconds(r.InitialBackoff),
		"maxBackoff":           seconds(r.MaxBackoff),
		"backoffMultiplier":    2,
		"retryableStatusCodes": []string{"UNAVAILABLE", "RESOURCE_EXHAUSTED"},
	}
	if r.MaxAttempts > 1 {
		config["methodConfig"] = []object{{"name": []object{{}}, "retryPolicy": policy}}
	}
	if strings.HasPrefix(target, "dns:") {
		config["loadBalancingConfig"] = []object{{"round_robin": object{}}}
	}
	text, err := json.Marshal(config)
	if err != nil {
		panic(err) // a map of strings and numbers
	}
	return string(text)
}

func seconds(d time.Duration) string {
	return fmt.Sprintf("%.9fs", d.Seconds())
}
