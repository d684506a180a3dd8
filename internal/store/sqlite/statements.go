package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"strconv"
	"strings"
)

// keeping is a connector whose connections keep their statements prepared: to
// SQLite, reading a statement's text costs more than most statements do.
type keeping struct {
	driver.Connector
	begin string
}

// Connect implements driver.Connector.
func (k keeping) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := k.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	c, ok := inner.(driverConn)
	if !ok {
		return nil, errors.Join(errors.New("the driver's connections can do less than we need"), inner.Close())
	}
	return &conn{driverConn: c, begin: k.begin, kept: map[string]*statement{}}, nil
}

// driverConn is what the driver's connections can do.
type driverConn interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.ConnBeginTx
	driver.ExecerContext
	driver.QueryerContext
	driver.SessionResetter
	driver.Validator
}

// maxStatements bounds what one connection keeps. There are some hundred texts.
const maxStatements = 500

// conn is a connection that keeps its statements. As with every connection of
// database/sql, one goroutine at a time uses it.
type conn struct {
	driverConn
	begin string // the statement that begins a transaction
	kept  map[string]*statement
}

// statement is one that is kept. SQLite looks up a parameter that has a number
// by its name, for each value anew, so the driver is given one without numbers;
// order says which argument each place takes.
type statement struct {
	inner driverStmt
	order []int
	inUse bool // by rows that are still being read
}

type driverStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// statement finds or prepares the statement of a text; nil if it can't be kept,
// or is in use.
func (c *conn) statement(ctx context.Context, text string) (*statement, error) {
	if s, ok := c.kept[text]; ok {
		if s.inUse {
			return nil, nil
		}
		return s, nil
	}
	if !keepable(text) {
		return nil, nil
	}
	plain, order := unnumber(text)
	inner, err := c.PrepareContext(ctx, plain)
	if err != nil {
		return nil, err
	}
	stmt, ok := inner.(driverStmt)
	if !ok {
		return nil, errors.Join(errors.New("the driver's statements can do less than we need"), inner.Close())
	}
	if len(c.kept) >= maxStatements {
		if err := c.forget(); err != nil {
			return nil, errors.Join(err, inner.Close())
		}
	}
	s := &statement{inner: stmt, order: order}
	c.kept[text] = s
	return s, nil
}

// keepable reports whether a text is worth keeping: what changes the schema is
// run once.
func keepable(text string) bool {
	word, _, _ := strings.Cut(strings.TrimSpace(text), " ")
	switch strings.ToUpper(word) {
	case "SELECT", "INSERT", "UPDATE", "DELETE", "SAVEPOINT", "RELEASE", "BEGIN", "COMMIT", "ROLLBACK":
		return true
	}
	return false
}

// forget closes the kept statements that nobody reads from.
func (c *conn) forget() error {
	var err error
	for text, s := range c.kept {
		if !s.inUse {
			err = errors.Join(err, s.inner.Close())
			delete(c.kept, text)
		}
	}
	return err
}

// ExecContext implements driver.ExecerContext.
func (c *conn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	s, err := c.statement(ctx, text)
	switch {
	case err != nil:
		return nil, err
	case s == nil:
		return c.driverConn.ExecContext(ctx, text, args)
	}
	values, err := s.arrange(args)
	if err != nil {
		return nil, err
	}
	return s.inner.ExecContext(ctx, values)
}

// QueryContext implements driver.QueryerContext.
func (c *conn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := c.statement(ctx, text)
	switch {
	case err != nil:
		return nil, err
	case s == nil:
		return c.driverConn.QueryContext(ctx, text, args)
	}
	values, err := s.arrange(args)
	if err != nil {
		return nil, err
	}
	inner, err := s.inner.QueryContext(ctx, values)
	if err != nil {
		return nil, err
	}
	s.inUse = true
	return &rows{Rows: inner, of: s}, nil
}

// BeginTx implements driver.ConnBeginTx.
func (c *conn) BeginTx(ctx context.Context, _ driver.TxOptions) (driver.Tx, error) {
	if _, err := c.ExecContext(ctx, c.begin, nil); err != nil {
		return nil, err
	}
	return transaction{c}, nil
}

// transaction is one of a connection's transactions.
type transaction struct{ c *conn }

// Commit implements driver.Tx. The connection is free afterwards, whatever has
// come of it.
func (t transaction) Commit() error {
	_, err := t.c.ExecContext(context.Background(), "COMMIT", nil)
	if err != nil {
		_ = t.Rollback() // it may have been rolled back already
	}
	return err
}

// Rollback implements driver.Tx.
func (t transaction) Rollback() error {
	_, err := t.c.ExecContext(context.Background(), "ROLLBACK", nil)
	return err
}

// Close implements driver.Conn.
func (c *conn) Close() error {
	return errors.Join(c.forget(), c.driverConn.Close())
}

// rows are what a kept statement finds. Closing them frees the statement.
type rows struct {
	driver.Rows
	of *statement
}

// Close implements driver.Rows.
func (r *rows) Close() error {
	r.of.inUse = false
	return r.Rows.Close()
}

// arrange puts the arguments at the places that they have in the text.
func (s *statement) arrange(args []driver.NamedValue) ([]driver.NamedValue, error) {
	values := make([]driver.NamedValue, len(s.order))
	for i, n := range s.order {
		if n > len(args) {
			return nil, errors.New("there is no argument $" + strconv.Itoa(n))
		}
		values[i] = driver.NamedValue{Ordinal: i + 1, Value: args[n-1].Value}
	}
	return values, nil
}

// unnumber writes each $n of a text as ? and says which n stood there. What is
// quoted stays as it is.
func unnumber(text string) (plain string, order []int) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch ch := text[i]; ch {
		case '\'', '"':
			end := i + 1
			for end < len(text) && text[end] != ch {
				end++
			}
			end = min(end, len(text)-1)
			b.WriteString(text[i : end+1])
			i = end
		case '$':
			end := i + 1
			for end < len(text) && text[end] >= '0' && text[end] <= '9' {
				end++
			}
			n, err := strconv.Atoi(text[i+1 : end])
			if err != nil || n < 1 {
				b.WriteByte(ch)
				continue
			}
			order = append(order, n)
			b.WriteByte('?')
			i = end - 1
		default:
			b.WriteByte(ch)
		}
	}
	return b.String(), order
}
