#!/bin/bash
# An operation that was begun with a key of a standalone partition ends when the right to the key does: what
# another process destroys or sets anew reaches C_EncryptUpdate and C_EncryptFinal, not only the next C_EncryptInit.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/token.sh"
lh_founded
lh_partition vault

enter app vault
enter other vault
ready() { # KEY: made, and an operation with it under way
    answers app "object [0-9]+" key "$1" token
    answers app ok begin
    answers app ok update
}

ready lasting
answers app ok update
answers app ok end
step "an operation goes on while nothing changes"

ready one
answers other "object [0-9]+" find one
answers other ok destroy
answers app key-handle-invalid update
answers app operation-not-initialized update
ready two
answers other "object [0-9]+" find two
answers other ok destroy
answers app key-handle-invalid end
step "a key that another process destroys is used no more, and the operation is over"

ready three
answers other ok logout
answers app ok update
answers other ok login so "$SO_PIN"
answers other ok initpin "$USER_PIN"
answers app user-not-logged-in update
answers other ok logout
answers app "ok|user-not-logged-in" logout
answers app ok login user "$USER_PIN"
answers app "object [0-9]+" find three
answers app ok begin
answers app ok update
answers app ok end
step "where the security officer sets the PIN anew, it ends until the user has logged in"
finish app other
