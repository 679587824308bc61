//! Exports resources, and a function that takes one and gives one back.

#![allow(unsafe_op_in_unsafe_fn, reason = "the bindings are of an older edition")]

use std::cell::Cell;

mod bindings {
    wit_bindgen::generate!({ path: "wit/custom.wit", world: "accounts", generate_all });
}

use bindings::exports::acme::billing::ledger::{Account, AccountBorrow, Amount, Guest, GuestAccount};

struct Ledger;

struct Book {
    name: String,
    cents: Cell<u64>,
}

impl Guest for Ledger {
    type Account = Book;

    fn open(names: Vec<String>) -> Vec<Account> {
        names.into_iter().map(|name| Account::new(Book::new(name))).collect()
    }

    fn close(account: Account) -> Result<u64, String> {
        let book: Book = account.into_inner();
        if book.name == "locked" { Err("it is locked".into()) } else { Ok(book.cents.get()) }
    }

    fn balance(name: String) -> u64 {
        name.len() as u64
    }
}

impl GuestAccount for Book {
    fn new(name: String) -> Self {
        Self { name, cents: Cell::new(0) }
    }

    fn charge(&self, amount: Amount) -> Result<(), String> {
        match amount.currency.as_str() {
            "CHF" => {
                self.cents.set(self.cents.get() + amount.cents);
                Ok(())
            }
            "trap" => panic!("a currency that traps"),
            other => Err(format!("{} takes no {other}", self.name)),
        }
    }

    fn total(&self) -> u64 {
        self.cents.get()
    }

    fn join(one: Account, other: AccountBorrow<'_>) -> Account {
        let (one, other): (Book, &Book) = (one.into_inner(), other.get());
        let cents = Cell::new(one.cents.get() + other.cents.get());
        Account::new(Book { name: one.name, cents })
    }
}

bindings::export!(Ledger with_types_in bindings);
