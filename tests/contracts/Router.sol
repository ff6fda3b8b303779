// SPDX-License-Identifier: UNLICENSED
pragma solidity ^0.8.24;

import "Pair.sol";

/// Makes pairs, and trades over them on behalf of those who gave it an allowance.
contract Router {
    mapping(address => mapping(address => address)) public pairOf;

    event PairCreated(address indexed token0, address indexed token1, address pair);

    error Late();
    error Same();
    error Exists();
    error NoPair();
    error BadPath();
    error NoAmount();
    error TooFew();
    error TooMany();
    error TransferFailed(address token);

    modifier until(uint256 deadline) {
        if (block.timestamp > deadline) revert Late();
        _;
    }

    /// The pair lies where CREATE2 puts it: salt is keccak256 of both tokens, lower address first.
    function createPair(address tokenA, address tokenB) public returns (address pair) {
        if (tokenA == tokenB) revert Same();
        (address token0, address token1) = sorted(tokenA, tokenB);
        if (pairOf[token0][token1] != address(0)) revert Exists();
        pair = address(new Pair{salt: keccak256(abi.encodePacked(token0, token1))}(token0, token1));
        pairOf[token0][token1] = pair;
        pairOf[token1][token0] = pair;
        emit PairCreated(token0, token1, pair);
    }

    /// Provides up to desiredA and desiredB in the pair's present proportion; makes the pair if there is none.
    function addLiquidity(
        address tokenA,
        address tokenB,
        uint256 desiredA,
        uint256 desiredB,
        uint256 minA,
        uint256 minB,
        address to,
        uint256 deadline
    ) external until(deadline) returns (uint256 amountA, uint256 amountB, uint256 shares) {
        address pair = pairOf[tokenA][tokenB];
        if (pair == address(0)) pair = createPair(tokenA, tokenB);
        (amountA, amountB) = proportion(pair, tokenA, tokenB, desiredA, desiredB);
        if (amountA < minA || amountB < minB) revert TooFew();
        collect(tokenA, pair, amountA);
        collect(tokenB, pair, amountB);
        shares = Pair(pair).mint(to);
    }

    function removeLiquidity(
        address tokenA,
        address tokenB,
        uint256 shares,
        uint256 minA,
        uint256 minB,
        address to,
        uint256 deadline
    ) external until(deadline) returns (uint256 amountA, uint256 amountB) {
        address pair = pairOf[tokenA][tokenB];
        if (pair == address(0)) revert NoPair();
        collect(pair, pair, shares);
        (uint256 amount0, uint256 amount1) = Pair(pair).burn(to);
        (amountA, amountB) = tokenA < tokenB ? (amount0, amount1) : (amount1, amount0);
        if (amountA < minA || amountB < minB) revert TooFew();
    }

    /// Trades amountIn of path[0] along path; the last token goes to to.
    function swapExactTokensForTokens(
        uint256 amountIn,
        uint256 amountOutMin,
        address[] calldata path,
        address to,
        uint256 deadline
    ) external until(deadline) returns (uint256[] memory amounts) {
        amounts = getAmountsOut(amountIn, path);
        if (amounts[amounts.length - 1] < amountOutMin) revert TooFew();
        trade(amounts, path, to);
    }

    /// Trades as little of path[0] as gives amountOut at the end, at most amountInMax.
    function swapTokensForExactTokens(
        uint256 amountOut,
        uint256 amountInMax,
        address[] calldata path,
        address to,
        uint256 deadline
    ) external until(deadline) returns (uint256[] memory amounts) {
        amounts = getAmountsIn(amountOut, path);
        if (amounts[0] > amountInMax) revert TooMany();
        trade(amounts, path, to);
    }

    function getAmountsOut(uint256 amountIn, address[] calldata path)
        public
        view
        returns (uint256[] memory amounts)
    {
        if (path.length < 2) revert BadPath();
        amounts = new uint256[](path.length);
        amounts[0] = amountIn;
        for (uint256 i = 0; i + 1 < path.length; i++) {
            (uint256 rIn, uint256 rOut) = reserves(pairOf[path[i]][path[i + 1]], path[i], path[i + 1]);
            amounts[i + 1] = getAmountOut(amounts[i], rIn, rOut);
        }
    }

    function getAmountsIn(uint256 amountOut, address[] calldata path)
        public
        view
        returns (uint256[] memory amounts)
    {
        if (path.length < 2) revert BadPath();
        amounts = new uint256[](path.length);
        amounts[path.length - 1] = amountOut;
        for (uint256 i = path.length - 1; i > 0; i--) {
            (uint256 rIn, uint256 rOut) = reserves(pairOf[path[i - 1]][path[i]], path[i - 1], path[i]);
            amounts[i - 1] = getAmountIn(amounts[i], rIn, rOut);
        }
    }

    /// What amountIn buys, rounded down: 0.3 % stay in the pool.
    function getAmountOut(uint256 amountIn, uint256 reserveIn, uint256 reserveOut)
        public
        pure
        returns (uint256)
    {
        if (amountIn == 0 || reserveIn == 0 || reserveOut == 0) revert NoAmount();
        uint256 paid = amountIn * 997;
        return (paid * reserveOut) / (reserveIn * 1000 + paid);
    }

    /// What amountOut costs, rounded up.
    function getAmountIn(uint256 amountOut, uint256 reserveIn, uint256 reserveOut)
        public
        pure
        returns (uint256)
    {
        if (amountOut == 0 || reserveIn == 0 || amountOut >= reserveOut) revert NoAmount();
        return (reserveIn * amountOut * 1000) / ((reserveOut - amountOut) * 997) + 1;
    }

    function trade(uint256[] memory amounts, address[] calldata path, address to) private {
        address pair = pairOf[path[0]][path[1]];
        collect(path[0], pair, amounts[0]);
        for (uint256 i = 0; i + 1 < path.length; i++) {
            address next = i + 2 < path.length ? pairOf[path[i + 1]][path[i + 2]] : to;
            uint256 out = amounts[i + 1];
            (uint256 out0, uint256 out1) = path[i] < path[i + 1] ? (uint256(0), out) : (out, uint256(0));
            Pair(pair).swap(out0, out1, next, "");
            pair = next;
        }
    }

    function proportion(
        address pair,
        address tokenA,
        address tokenB,
        uint256 desiredA,
        uint256 desiredB
    ) private view returns (uint256, uint256) {
        (uint256 rA, uint256 rB) = reserves(pair, tokenA, tokenB);
        if (rA == 0 && rB == 0) return (desiredA, desiredB);
        uint256 fitB = (desiredA * rB) / rA;
        return fitB <= desiredB ? (desiredA, fitB) : ((desiredB * rA) / rB, desiredB);
    }

    function reserves(address pair, address tokenA, address tokenB)
        private
        view
        returns (uint256, uint256)
    {
        if (pair == address(0)) revert NoPair();
        (uint112 r0, uint112 r1, ) = Pair(pair).getReserves();
        return tokenA < tokenB ? (r0, r1) : (r1, r0);
    }

    function sorted(address a, address b) private pure returns (address, address) {
        return a < b ? (a, b) : (b, a);
    }

    function collect(address token, address to, uint256 value) private {
        (bool ok, bytes memory answer) =
            token.call(abi.encodeCall(Ledger.transferFrom, (msg.sender, to, value)));
        if (!ok || (answer.length != 0 && !abi.decode(answer, (bool)))) revert TransferFailed(token);
    }
}
